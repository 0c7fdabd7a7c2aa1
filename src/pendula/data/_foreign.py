"""Arrays of somebody else's file -> trajectories: the user says which is what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._errors import ConfigError, DataError, PendulaError, nearest
from ._cf import elapsed
from ._columns import check_angles, check_channels, radians
from ._decisions import (
    TIME_UNITS,
    Decision,
    as_names,
    decide_angle,
    decide_input_kind,
    records,
)
from ._stored import Stored, described, text
from ._trajectories import Trajectories


def foreign(
    place: str,
    arrays: Mapping[str, Stored],
    origin: dict[str, Any],
    *,
    time: str | None,
    dt: float | None,
    channels: str | Sequence[str] | None,
    inputs: str | Sequence[str] | None,
    angles: str | Sequence[str] | None,
    input_kind: str | None,
    licence: str | None,
) -> Trajectories:
    """`Trajectories` from named arrays whose roles are given.

    **Arguments:** `place`: the file as messages name it; `origin`: its path and
    checksum; the others as for `read_npz`.
    """
    wanted, driven = as_names(channels), as_names(inputs)
    _check_given(place, arrays, time, dt, (*wanted, *driven))
    clock = _clock(place, arrays, time, dt, wanted)
    names = _short((*wanted, *driven))
    seen = _stack(place, wanted, names, arrays, clock.ts)
    force = _stack(place, driven, names, arrays, clock.ts) if driven else None
    units = {**seen.units, **(force.units if force else {})}
    if len(units) < len(seen.units) + (len(force.units) if force else 0):
        raise ConfigError(
            f"{place}: two columns would have the same name ({', '.join(seen.units)}; "
            f"{', '.join(force.units if force else ())}). Choose other arrays."
        )
    factor, decisions = radians(
        tuple(seen.units), units, "the unit of {} in the file, if it is wrong"
    )
    ys = seen.values * factor if decisions else seen.values
    us = None if force is None else force.values
    ts = clock.ts
    if ts.ndim == 1:
        ts, ys, us = ts[None], ys[None], None if us is None else us[None]
    _check_order(place, time, ts)
    kind = "spline"
    if us is not None:
        kind, decision = decide_input_kind(list(us), input_kind)
        decisions.insert(0, decision)
    choice = f"array {time}" if time else f"sample number times {dt:g}"
    decisions.insert(0, Decision("time", choice, "given", "--time NAME or --dt STEP"))
    said = None if angles is None else as_names(angles)
    check_angles(said, tuple(seen.units))
    epoch = {} if clock.epoch is None else {"epoch": clock.epoch}
    try:
        data = Trajectories.from_arrays(
            list(ts),
            list(ys),
            None if us is None else list(us),
            names=tuple(seen.units),
            units=tuple(units[n] for n in seen.units),
            angle=tuple(decide_angle(n, units[n], said) for n in seen.units),
            input_names=tuple(force.units) if force else (),
            input_units=tuple(force.units.values()) if force else (),
            input_kind=kind,
            labels=(place.rsplit(".", 1)[0],) if len(ts) == 1 else (),
            time_unit=clock.unit,
            licence=licence,
            origin={
                "files": [{**origin, "rows": int(ts.size)}],
                "decisions": records(decisions),
                **epoch,
            },
        )
    except PendulaError as error:
        raise DataError(f"{place}: {error}") from None
    check_channels(data, place)
    return data


def _check_given(
    place: str,
    arrays: Mapping[str, Stored],
    time: str | None,
    dt: float | None,
    names: tuple[str, ...],
) -> None:
    listed = ", ".join(described(arrays)) or "none"
    if not names or (time is None and dt is None):
        raise ConfigError(
            f"{place} is not a file of Pendula's own: say which arrays are what, with "
            f"--time NAME (or --dt STEP) and --channels NAME,... Arrays: {listed}. "
            "`pendula inspect` shows what each may be."
        )
    if time is not None and dt is not None:
        raise ConfigError("--time and --dt are given; expected one. Leave one out.")
    if dt is not None and not (np.isfinite(dt) and dt > 0):
        raise ConfigError(f"--dt {dt:g}: the sampling step must be positive.")
    for name in (time, *names) if time else names:
        if name not in arrays:
            raise ConfigError(
                f'{place} has no array "{name}".{nearest(name, arrays)} Arrays: '
                f"{listed}."
            )


class _Clock(NamedTuple):
    """Times `"time"` or `"traj time"`, their unit, and the date at which they are 0."""

    ts: np.ndarray
    unit: str
    epoch: str | None


def _clock(
    place: str,
    arrays: Mapping[str, Stored],
    time: str | None,
    dt: float | None,
    wanted: tuple[str, ...],
) -> _Clock:
    if time is None:
        count = len(arrays[wanted[0]].numbers(place, wanted[0]))
        return _Clock(np.arange(count) * (dt or 1.0), "s", None)
    stored = arrays[time]
    ts = stored.numbers(place, time)
    if ts.ndim > 2:
        raise DataError(
            f'{place}, array "{time}": times have shape {ts.shape}; expected (time,) '
            "or (traj, time)."
        )
    if not ts.size:
        raise DataError(
            f'{place}, array "{time}": there is no time in it (shape {ts.shape}). At '
            "least two samples are needed."
        )
    calendar = text(stored.attrs.get("calendar", "standard"))
    where = f'{place}, array "{time}"'
    dated = elapsed(where, ts, stored.unit, calendar)
    if dated is not None:
        return _Clock(dated[0], "s", dated[1])
    word = time.rsplit("/", 1)[-1].lower()
    unit = stored.unit or TIME_UNITS.get(word, "s")
    return _Clock(ts.astype(np.float64), unit, None)


def _check_order(place: str, time: str | None, ts: np.ndarray) -> None:
    for i, t in enumerate(ts):
        lost = np.flatnonzero(~np.isfinite(t))
        if len(lost):
            raise DataError(
                f'{place}, array "{time}", trajectory {i}, sample {lost[0]}: the time '
                "is missing or infinite. Every sample needs one. Cut the record there."
            )
        wrong = np.flatnonzero(np.diff(t) <= 0)
        if len(wrong):
            k = int(wrong[0]) + 1
            raise DataError(
                f'{place}, array "{time}", trajectory {i}, sample {k}: time {t[k]:g} '
                f"after {t[k - 1]:g}. Times must increase. Sort them."
            )


class _Columns(NamedTuple):
    """Columns side by side, `"... column"`, and name -> unit of each."""

    values: np.ndarray
    units: dict[str, str]


def _stack(
    place: str,
    wanted: tuple[str, ...],
    names: Mapping[str, str],
    arrays: Mapping[str, Stored],
    ts: np.ndarray,
) -> _Columns:
    """Arrays of the shape of the times, or with one axis more, side by side."""
    columns: list[np.ndarray] = []
    units: dict[str, str] = {}
    for name in wanted:
        value = arrays[name].numbers(place, name).astype(np.float64)
        value = value[..., None] if value.shape == ts.shape else value
        if value.ndim != ts.ndim + 1 or value.shape[:-1] != ts.shape:
            turned = value.shape == ts.shape[:-1] + value.shape[-2:-1] + ts.shape[-1:]
            raise DataError(
                f'{place}, array "{name}": shape {value.shape} does not fit the times '
                f"{ts.shape}. Expected that shape, or one axis more at the end."
                + (" Transpose it." if value.ndim == ts.ndim + 1 and turned else "")
            )
        width = value.shape[-1]
        short = names[name]
        new = [short] if width == 1 else [f"{short}_{j}" for j in range(width)]
        columns.append(value)
        units.update(dict.fromkeys(new, arrays[name].unit))
    return _Columns(np.concatenate(columns, axis=-1), units)


def _short(names: tuple[str, ...]) -> dict[str, str]:
    """Arrays in groups are called by the last part of their path, where that tells
    them apart."""
    last = [name.rsplit("/", 1)[-1] for name in names]
    unique = len(set(last)) == len(set(names))
    return dict(zip(names, last if unique else names, strict=True))
