"""Tables with columns -> trajectories, whatever file the table came from."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._errors import ConfigError, DataError, DataWarning, nearest
from ._decisions import (
    TIME_UNITS,
    Decision,
    Roles,
    as_names,
    decide_angle,
    decide_input_kind,
    decide_roles,
    records,
    round_unit,
)
from ._doubts import SHORTEST, doubts, tells_trials
from ._inputs import check_input_kind
from ._table import Table
from ._trajectories import Trajectories


DEGREES = {"deg": "rad", "degree": "rad", "degrees": "rad", "°": "rad"}
DEGREES |= {f"{unit}/s": "rad/s" for unit in DEGREES}


def from_tables(
    tables: list[Table],
    files: list[str],
    *,
    time: str | None = None,
    dt: float | None = None,
    channels: str | Sequence[str] | None = None,
    inputs: str | Sequence[str] | None = None,
    traj: str | Sequence[str] | None = None,
    ignore: str | Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    angles: str | Sequence[str] | None = None,
    input_kind: str | None = None,
    licence: str | None = None,
) -> Trajectories:
    """Decide the role of every column, and make trajectories of them.

    **Arguments:** `files`: the paths of the tables; the others are those of
    `read_csv`. **Raises:** `DataError`, `ConfigError`.
    """
    if input_kind is not None:
        check_input_kind(input_kind)
    _check_columns(tables)
    roles = decide_roles(
        tables[0].name,
        list(tables[0].cells),
        lambda name: np.concatenate([table.numbers(name) for table in tables]),
        time=time,
        dt=dt,
        channels=channels,
        inputs=inputs,
        traj=traj,
        ignore=ignore,
    )
    if not roles.traj:
        for table in tables:
            _warn_of_trials(table, roles, as_names(ignore))
    return assemble(
        tables,
        roles,
        dt=dt,
        files=files,
        units=units,
        angles=None if angles is None else as_names(angles),
        input_kind=input_kind,
        licence=licence,
    )


def _warn_of_trials(table: Table, roles: Roles, ignored: tuple[str, ...]) -> None:
    """Trials below each other in one file, whose times go on, must not be joined
    without a word."""
    for name in table.cells:
        if name in (roles.time, *roles.inputs, *ignored):
            continue
        try:
            values = table.numbers(name)
        except DataError:
            values = np.unique(np.array(table.cells[name]), return_inverse=True)[1]
        if SHORTEST * np.count_nonzero(values[1:] != values[:-1]) > len(values):
            continue
        others = [table.numbers(n) for n in roles.channels if n != name]
        count = np.arange(len(values), dtype=np.float64)
        ts = count if roles.time is None else table.times(roles.time)[0]
        if tells_trials(values, ts, others):
            warnings.warn(
                f'{table.name}, column "{name}": times or channels jump where it '
                f"changes. If it tells trials apart, give --traj {name}, or they are "
                f"joined into one; if not, --ignore {name}.",
                DataWarning,
                stacklevel=4,
            )


def _check_columns(tables: list[Table]) -> None:
    first = tables[0]
    for table in tables[1:]:
        for a, b in ((first, table), (table, first)):
            for name in a.cells:
                if name not in b.cells:
                    raise DataError(
                        f'{b.name}: column "{name}" of {a.name} is not here.'
                        f"{nearest(name, b.cells)} Files read together need the same "
                        "columns. Read them one by one, or repair the header."
                    )
        for name, unit in table.units.items():
            if name in first.units and unit != first.units[name]:
                raise DataError(
                    f'{table.name}: column "{name}" is in [{unit}], but in '
                    f"[{first.units[name]}] in {first.name}. Use one unit."
                )


def assemble(
    tables: list[Table],
    roles: Roles,
    *,
    dt: float | None,
    files: list[str],
    units: Mapping[str, str] | None,
    angles: tuple[str, ...] | None,
    input_kind: str | None,
    licence: str | None,
) -> Trajectories:
    """Tables and the roles of their columns -> `Trajectories`."""
    known = {**tables[0].units, **_check_units(tables[0], units)}
    decisions = list(roles.decisions)
    if len(tables) > 1:
        choice = f"one for each of {len(tables)} files"
        decisions.append(
            Decision(
                "trajectories", choice, "several files", "give one file, or --traj"
            )
        )
    epoch, pieces = None, []
    for table in tables:
        start, found = _pieces(table, roles, dt, len(tables) > 1)
        epoch = epoch or start
        pieces += found
    factor, turned = radians(roles.channels, known)
    decisions += turned
    us = [piece.us for piece in pieces]
    kind = "spline"
    if roles.inputs:
        kind, decision = decide_input_kind(us, input_kind)
        decisions.append(decision)
    check_angles(angles, roles.channels)
    angle = tuple(decide_angle(n, known[n], angles) for n in roles.channels)
    if any(angle) and angles is None:
        choice = ", ".join(n for n, a in zip(roles.channels, angle, strict=True) if a)
        why = "unit rad, or the name of an angle"
        decisions.append(Decision("angles", choice, why, "--angles NAME,..."))
    origin: dict[str, Any] = {
        "files": [
            {"path": f, "rows": len(t.lines), "sha256": t.digest}
            for f, t in zip(files, tables, strict=True)
        ],
        "decisions": records(decisions),
    }
    if epoch is not None:
        origin["epoch"] = epoch
    data = Trajectories.from_arrays(
        [piece.ts for piece in pieces],
        [piece.ys * factor if turned else piece.ys for piece in pieces],
        us if roles.inputs else None,
        names=roles.channels,
        units=tuple(known[n] for n in roles.channels),
        angle=angle,
        input_names=roles.inputs,
        input_units=tuple(known[n] for n in roles.inputs),
        input_kind=kind,
        labels=tuple(piece.label for piece in pieces),
        time_unit=_time_unit(tables[0].name, roles.time, known, epoch),
        licence=licence,
        origin=origin,
    )
    check_channels(data, tables[0].name if len(tables) == 1 else f"{len(tables)} files")
    return data


def _check_units(table: Table, units: Mapping[str, str] | None) -> dict[str, str]:
    units = dict(units or {})
    for name in units:
        if name not in table.cells:
            raise ConfigError(
                f'--units {name}={units[name]}: {table.name} has no column "{name}".'
                f"{nearest(name, table.cells)} Columns: {', '.join(table.cells)}."
            )
    return units


def _time_unit(
    place: str, time: str | None, known: Mapping[str, str], epoch: str | None
) -> str:
    if time is None or epoch is not None:
        return "s"
    said = round_unit(time)
    if not known[time] and said and said != "s":
        warnings.warn(
            f'{place}, column "{time}": units stand in square brackets, so that its '
            f'times are taken as seconds. Give --units "{time}={said}".',
            DataWarning,
            stacklevel=5,
        )
    return known[time] or TIME_UNITS.get(time.lower(), "s")


def check_angles(angles: tuple[str, ...] | None, channels: Sequence[str]) -> None:
    """`ConfigError` for an angle that is not a channel."""
    for name in angles or ():
        if name not in channels:
            raise ConfigError(
                f'--angles {name}: "{name}" is not a channel.'
                f"{nearest(name, channels)} Channels: {', '.join(channels)}."
            )


def radians(
    channels: Sequence[str],
    known: dict[str, str],
    option: str = "--units {}={} if the header is wrong",
) -> tuple[np.ndarray, list[Decision]]:
    """Factors that turn degrees into radians; the units in `known` follow. `option`
    says of a channel what to do where its unit is wrong."""
    factor, decisions = np.ones(len(channels)), []
    for j, name in enumerate(channels):
        unit = known[name].lower()
        if unit in DEGREES:
            factor[j] = np.pi / 180
            known[name] = DEGREES[unit]
            choice = f"{name} turned from {unit} into {known[name]}"
            why = "angles are in radians"
            decisions.append(
                Decision("unit", choice, why, option.format(name, known[name]))
            )
    return factor, decisions


class Piece(NamedTuple):
    """One trajectory of a table: times, channels (NaN: missing), inputs, label."""

    ts: np.ndarray
    ys: np.ndarray
    us: np.ndarray
    label: str


def _pieces(
    table: Table, roles: Roles, dt: float | None, by_file: bool
) -> tuple[str | None, list[Piece]]:
    """The date of time 0 and the trajectories in one table."""
    count = len(table.lines)
    epoch = None
    if roles.time is None:
        times = np.arange(count) * (dt or 1.0)
    else:
        times, start = table.times(roles.time)
        epoch = None if start is None else start.isoformat()
    ys = np.stack([table.numbers(n) for n in roles.channels], axis=1)
    us = np.zeros((count, len(roles.inputs)))
    for j, name in enumerate(roles.inputs):
        us[:, j] = table.numbers(name)
        gap = np.flatnonzero(np.isnan(us[:, j]))
        if len(gap):
            raise DataError(
                f"{table.where(int(gap[0]), name)}: the input is missing. An input "
                "must be known at every sample. Fill the cell, or leave the column "
                f"out with --ignore {name}."
            )
    stem = table.name.rsplit(".", 1)[0]
    pieces = []
    for key, index in _groups(table, roles.traj):
        t = times[: len(index)] if roles.time is None else times[index]
        _check_group(table, roles, t, index, key)
        label = "/".join(([stem] if by_file else []) + list(key)) or stem
        pieces.append(Piece(t, ys[index], us[index], label))
    return epoch, pieces


def _groups(
    table: Table, traj: tuple[str, ...]
) -> list[tuple[tuple[str, ...], np.ndarray]]:
    """Row indices of each trajectory, in order of first appearance."""
    if not traj:
        return [((), np.arange(len(table.lines)))]
    rows: dict[tuple[str, ...], list[int]] = {}
    for k, key in enumerate(zip(*(table.cells[n] for n in traj), strict=True)):
        rows.setdefault(tuple(text.strip() for text in key), []).append(k)
    return [(key, np.array(index)) for key, index in rows.items()]


def _check_group(
    table: Table, roles: Roles, t: np.ndarray, index: np.ndarray, key: tuple[str, ...]
) -> None:
    of = f" of trajectory {'/'.join(key)}" if key else ""
    if len(t) < 2:
        raise DataError(
            f"{table.name}, row {table.lines[index[0]]}: only 1 sample{of}. At least "
            "two are needed. Add samples, or delete the row."
        )
    wrong = np.flatnonzero(np.diff(t) <= 0)
    if not len(wrong):
        return
    k = wrong[0]
    texts = table.cells[roles.time]  # type: ignore[index]  # dt * k never decreases
    before, after = (texts[int(index[i])].strip() for i in (k, k + 1))
    what = (
        f"time {after} stands twice{of}"
        if t[k + 1] == t[k]
        else f"time goes backwards ({after} after {before}){of}"
    )
    place = table.where(int(index[k + 1]), str(roles.time))
    raise DataError(
        f"{place}: {what}. Times must increase "
        "within a trajectory. Sort the file, remove the duplicate, or give a "
        "trajectory column with --traj."
    )


def check_channels(data: Trajectories, place: str) -> None:
    """Warn of channels that are mostly missing, look like degrees, or hold values that
    are no motion.

    **Raises:** `DataError` for a channel without a single value.
    """
    real = data.lengths.sum()
    for j, name in enumerate(data.names):
        present = int(data.mask[:, :, j].sum())
        if present == 0:
            raise DataError(
                f'{place}, column "{name}": every cell is empty. At least two values '
                f"are needed. Leave the column out with --ignore {name}."
            )
        if present < 0.5 * real:
            warnings.warn(
                f'{place}, column "{name}": {real - present} of {real} samples are '
                "missing.",
                DataWarning,
                stacklevel=4,
            )
        said = round_unit(name)
        if said.lower() in DEGREES and not data.units[j]:
            warnings.warn(
                f'{place}, column "{name}": units stand in square brackets, so that '
                f'its values do not become radians. Give --units "{name}={said}".',
                DataWarning,
                stacklevel=4,
            )
        largest = np.abs(data.ys[:, :, j]).max()
        if data.angle[j] and not data.units[j] and largest > 50:
            warnings.warn(
                f'{place}, column "{name}": values up to {largest:g} look like '
                "degrees; angles are taken in radians. Write the unit into the header "
                f"({name} [deg]), or {name} [rad] if they are right.",
                DataWarning,
                stacklevel=4,
            )
        for text in doubts(data, j):
            where = f'{place}, column "{name}"'
            warnings.warn(f"{where}: {text}", DataWarning, stacklevel=4)
