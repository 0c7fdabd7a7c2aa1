"""What is decided when the user does not say: columns, and what they are.

Each decision is a record that says what was chosen, why, and the option that
changes it, so that a report can print all of them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._errors import ConfigError, DataError, nearest


TIME_NAMES = ("t", "time", "day", "year", "date")
TIME_UNITS = {"t": "s", "time": "s", "day": "d", "year": "yr", "date": "s"}
TRAJ_NAME = "trajectory"  # as our own writer names it
IGNORED_NAMES = ("validation", "split", "flag", "label")
INPUT_PREFIXES = ("u_", "tau", "torque", "input")
ANGLE_NAME = re.compile(r"(theta|phi|angle)[_\d]*")
ROUND_UNIT = re.compile(rf"({'|'.join(TIME_NAMES)})\s*\([^()]*\)", re.IGNORECASE)
MIN_ROWS_FOR_FLAG = 8  # fewer rows hold two values by chance


@dataclasses.dataclass(frozen=True)
class Decision:
    """One thing that was decided: `what` was open, the `choice`, `why`, and the
    `option` that changes it."""

    what: str
    choice: str
    why: str
    option: str

    def to_dict(self) -> dict[str, str]:
        """As a JSON-able dict."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Roles:
    """Which column is what, and how that was decided."""

    time: str | None
    channels: tuple[str, ...]
    inputs: tuple[str, ...]
    traj: tuple[str, ...]
    decisions: tuple[Decision, ...]


def round_unit(name: str) -> str:
    """What stands in round brackets at the end of a name: `s` of `Time (s)`; they are
    part of the name, but were meant as a unit where they hold one."""
    found = re.fullmatch(r".*\(([^()]*)\)", name)
    return found[1].strip() if found else ""


def as_names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """One name or several -> a tuple; None -> empty."""
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)


def decide_roles(
    file: str,
    names: Sequence[str],
    numbers: Callable[[str], np.ndarray],
    *,
    time: str | None = None,
    dt: float | None = None,
    channels: str | Sequence[str] | None = None,
    inputs: str | Sequence[str] | None = None,
    traj: str | Sequence[str] | None = None,
    ignore: str | Sequence[str] | None = None,
) -> Roles:
    """The role of every column (engineering conventions 8.1, points 1 to 4).

    **Arguments:** `file` as messages name it; `names` all columns; `numbers` gives
    a column's values (it raises for text); the others are what the user said.
    **Raises:** `ConfigError` for an unknown or doubly used name, `DataError` when
    no time or no channel is found.
    """
    said = {
        "--time": as_names(time),
        "--channels": as_names(channels),
        "--inputs": as_names(inputs),
        "--traj": as_names(traj),
        "--ignore": as_names(ignore),
    }
    named_so = traj is None and TRAJ_NAME in names
    if named_so and not any(TRAJ_NAME in given for given in said.values()):
        said["--traj"] = (TRAJ_NAME,)
    _check_names(file, names, said)
    decisions = []
    free = [n for n in names if not any(n in given for given in said.values())]
    time_name, decision = _decide_time(file, free, time, dt)
    decisions.append(decision)
    free = [n for n in free if n != time_name]
    if said["--traj"]:
        decisions.append(
            Decision(
                "trajectories",
                f"one for each value of {', '.join(said['--traj'])}",
                "given" if traj is not None else "its name",
                "--traj",
            )
        )
    chosen_inputs = said["--inputs"]
    if inputs is None:
        chosen_inputs = tuple(n for n in free if n.lower().startswith(INPUT_PREFIXES))
        free = [n for n in free if n not in chosen_inputs]
    if chosen_inputs:
        why = (
            "given"
            if inputs is not None
            else f"the name starts with {', '.join(INPUT_PREFIXES)}"
        )
        decisions.append(
            Decision("inputs", ", ".join(chosen_inputs), why, "--inputs NAME,...")
        )
    if said["--ignore"]:
        decisions.append(
            Decision("ignored", ", ".join(said["--ignore"]), "given", "--ignore")
        )
    if channels is not None:
        chosen = said["--channels"]
        if free:
            decisions.append(
                Decision(
                    "not used", ", ".join(free), "not among the channels", "--channels"
                )
            )
    else:
        chosen, flags = _decide_channels(free, numbers)
        decisions += flags
    if not chosen:
        raise DataError(
            f"{file}: no column is left to learn (columns: {', '.join(names)}). At "
            "least one observed channel is needed. Name it with --channels."
        )
    decisions.append(
        Decision(
            "channels",
            ", ".join(chosen),
            "given" if channels is not None else "all other columns",
            "--channels NAME,...",
        )
    )
    return Roles(time_name, chosen, chosen_inputs, said["--traj"], tuple(decisions))


def _check_names(
    file: str, names: Sequence[str], said: dict[str, tuple[str, ...]]
) -> None:
    owner: dict[str, str] = {}
    for option, given in said.items():
        for name in given:
            if name not in names:
                raise ConfigError(
                    f'{option} {name}: {file} has no column "{name}".'
                    f"{nearest(name, names)} Columns: {', '.join(names)}."
                )
            if name in owner:
                raise ConfigError(
                    f'column "{name}" is given by {owner[name]} and by {option}. A '
                    "column has one role. Remove it from one."
                )
            owner[name] = option


def _decide_time(
    file: str, free: Sequence[str], time: str | None, dt: float | None
) -> tuple[str | None, Decision]:
    if dt is not None and not (np.isfinite(dt) and dt > 0):
        raise ConfigError(f"--dt {dt:g}: the sampling step must be positive.")
    named = [n for n in free if n.lower() in TIME_NAMES]
    # T beside t is something else, a temperature
    found = time or min(named, key=lambda n: n not in TIME_NAMES, default=None)
    if found is not None and dt is not None:
        raise ConfigError(
            f'--dt {dt:g}: {file} has the time column "{found}" already. Leave --dt '
            f"out, or leave the column out with --ignore {found}."
        )
    if found is None and dt is None:
        hint = next((n for n in free if ROUND_UNIT.fullmatch(n)), "")
        if hint:
            square = hint.replace("(", "[").replace(")", "]")
            hint = f' Units stand in square brackets: write "{hint}" as "{square}".'
        raise DataError(
            f"{file}: no time column (columns: {', '.join(free)}). Expected one named "
            f"{', '.join(TIME_NAMES)}. Name it with --time, or give the sampling step "
            f"with --dt.{hint}"
        )
    if found is None:
        choice = f"row number times {dt:g}"
        return None, Decision("time", choice, "given", "--dt SECONDS or --time NAME")
    why = "given" if time else f"named one of {', '.join(TIME_NAMES)}"
    return found, Decision("time", f"column {found}", why, "--time NAME")


def _decide_channels(
    free: Sequence[str], numbers: Callable[[str], np.ndarray]
) -> tuple[tuple[str, ...], list[Decision]]:
    """What is left are channels, but for flags."""
    decisions, chosen = [], []
    for name in free:
        option = "--channels NAME,..."
        if name.lower() in IGNORED_NAMES:
            decisions.append(Decision("ignored", name, "its name", option))
            continue
        values = numbers(name)
        values = values[~np.isnan(values)]
        if len(values) >= MIN_ROWS_FOR_FLAG and len(np.unique(values)) == 2:
            why = "it takes two values only"
            decisions.append(Decision("ignored", name, why, option))
            continue
        chosen.append(name)
    return tuple(chosen), decisions


def decide_input_kind(
    us: Sequence[np.ndarray], given: str | None
) -> tuple[str, Decision]:
    """How inputs run between samples: held when they move in steps, else spline.

    An input moves in steps when it takes at most two values or stays the same
    over at least 70 % of the sampling intervals. **Arguments:** `us`: for each
    trajectory the inputs `"time ctrl"`.
    """
    option = "--input-kind held|linear|spline"
    if given is not None:
        return given, Decision("input between samples", given, "given", option)
    still = np.concatenate([np.diff(u, axis=0) == 0 for u in us]).mean(axis=0)
    two = np.array([len(np.unique(column)) for column in np.concatenate(us).T]) <= 2
    if bool(np.all((still >= 0.7) | two)):
        return "held", Decision(
            "input between samples", "held", "the inputs move in steps", option
        )
    return "spline", Decision(
        "input between samples", "spline", "the inputs change smoothly", option
    )


def decide_angle(name: str, unit: str, given: Sequence[str] | None) -> bool:
    """Whether a channel is an angle in radians: said, by its unit, or its name."""
    if given is not None:
        return name in given
    if unit:
        return unit == "rad"
    return ANGLE_NAME.fullmatch(name.lower()) is not None


def records(decisions: Sequence[Decision]) -> list[dict[str, Any]]:
    """Decisions as JSON-able dicts, as `Trajectories.origin` keeps them."""
    return [decision.to_dict() for decision in decisions]
