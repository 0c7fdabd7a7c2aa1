"""What several commands understand: common options, and how values are written."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from .._errors import ConfigError


_TALK = Group("Output", sort_key=90)
_READ = Group("Reading the data", sort_key=10)


@Parameter(name="*")
@dataclasses.dataclass(frozen=True)
class Talk:
    """How a command talks; every command has these."""

    json: Annotated[bool, Parameter(group=_TALK, help="Results as JSON on stdout.")] = (
        False
    )
    quiet: Annotated[
        bool, Parameter(name=["--quiet", "-q"], group=_TALK, help="No progress.")
    ] = False
    verbose: Annotated[
        bool,
        Parameter(name=["--verbose", "-v"], group=_TALK, help="Tell every decision."),
    ] = False
    debug: Annotated[
        bool, Parameter(group=_TALK, help="Show the traceback of an error.")
    ] = False


@Parameter(name="*")
@dataclasses.dataclass(frozen=True)
class Reading:
    """How data files are read."""

    channels: Annotated[
        tuple[str, ...],
        Parameter(group=_READ, help="Observed channels: a,b."),
    ] = ()
    time: Annotated[str | None, Parameter(group=_READ, help="The time column.")] = None
    dt: Annotated[
        float | None,
        Parameter(group=_READ, help="Sampling step, where there is no time column."),
    ] = None
    inputs: Annotated[
        tuple[str, ...], Parameter(group=_READ, help="Known inputs: u,v.")
    ] = ()
    traj: Annotated[
        tuple[str, ...],
        Parameter(
            group=_READ,
            help="Columns of a long file that tell the trajectories apart.",
        ),
    ] = ()
    ignore: Annotated[
        tuple[str, ...], Parameter(group=_READ, help="Columns left out.")
    ] = ()
    angles: Annotated[
        tuple[str, ...],
        Parameter(group=_READ, help="Channels that are angles [rad]."),
    ] = ()
    units: Annotated[
        tuple[str, ...],
        Parameter(group=_READ, help="Units, over those in the header: theta=rad."),
    ] = ()
    input_kind: Annotated[
        str | None,
        Parameter(group=_READ, help="Inputs between samples: held, linear, spline."),
    ] = None


TALK, READING = Talk(), Reading()


def check_free(out: Path, force: bool) -> None:
    """**Raises:** `ConfigError` where a file would be lost."""
    if out.exists() and not force:
        raise ConfigError(
            f"{out} exists already. Choose another --out, or add --force."
        )


def names(given: Sequence[str]) -> tuple[str, ...]:
    """`a,b` and repeated options -> one tuple of names."""
    parts = [part.strip() for text in given for part in text.split(",")]
    return tuple(part for part in parts if part)


def whole(_kind: Any, tokens: Sequence[Any]) -> int:
    """A converter of options that count: 8.7 is refused, not rounded.

    **Raises:** `ValueError`, to which the parser adds the option.
    """
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ValueError(f'"{text}" is no whole number.') from None


_PI = re.compile(r"([+-]?)(\d*\.?\d*)\s*\*?\s*pi(?:/(\d+\.?\d*))?")


def real(text: str, option: str) -> float:
    """A finite number; `pi`, `-pi/2`, `2pi` are numbers too.

    **Raises:** `ConfigError` naming the option.

    ```python
    >>> from pendula.cli._options import real
    >>> round(real("pi/2", "--zero"), 4), real("-3e-2", "--zero")
    (1.5708, -0.03)

    ```
    """
    text = text.strip()
    found = _PI.fullmatch(text)
    try:
        if found:
            sign, factor, divisor = found.groups()
            value = float(factor or 1) * math.pi / float(divisor or 1)
            value = -value if sign == "-" else value
        else:
            value = float(text)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(
            f'{option} {text}: "{text}" is no finite number. Write it as 0.5, 2e-3 or '
            "pi/2."
        )
    return value


def pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """`NAME=VALUE` texts (also `a=1,b=2`) as a dict, in order.

    **Raises:** `ConfigError` for a text without `=`, or a name given twice.
    """
    out: dict[str, str] = {}
    for text in given:
        # a comma parts two pairs only where a new name follows: lists stay whole
        for part in re.split(r",(?=\s*[A-Za-z_][\w.]*\s*=)", text):
            name, sign, value = part.partition("=")
            name = name.strip()
            if not sign or not name or not value.strip():
                unit = option == "--units"
                example = "theta=rad" if unit else f"{name or 'w2'}=64"
                raise ConfigError(
                    f"{option} {text}: expected NAME=VALUE, for example {option} "
                    f"{example}."
                )
            if name in out:
                raise ConfigError(f"{option} {name}: given twice. Remove one.")
            out[name] = value.strip()
    return out
