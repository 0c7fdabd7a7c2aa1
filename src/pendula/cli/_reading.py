"""From what a user names - files, a folder, a named set - to trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._errors import ConfigError
from ._console import Console
from ._options import Reading, names, pairs


if TYPE_CHECKING:
    from ..data import Trajectories


def load_data(given: Sequence[str], reading: Reading, console: Console) -> Trajectories:
    """Read data and tell what was decided.

    **Raises:** `DataError`, `ConfigError`.
    """
    if not given:
        raise ConfigError(
            "no data given. Name a file, several files, a folder, or a named set "
            "(`pendula data list`)."
        )
    console.say(f"reading {', '.join(given)}")
    from ..data import open_data

    data = open_data(given[0] if len(given) == 1 else list(given), **options(reading))
    for row in data.origin.get("decisions", []):
        console.detail(
            f"  {row['what']}: {row['choice']} ({row['why']}; {row['option']})"
        )
    return data


def options(reading: Reading) -> dict[str, Any]:
    """The keywords of a reader; what was not said is None and stays undecided."""
    out: dict[str, Any] = {
        "time": reading.time,
        "dt": reading.dt,
        "input_kind": reading.input_kind,
        "units": pairs(reading.units, "--units") or None,
    }
    for name in ("channels", "inputs", "traj", "ignore", "angles"):
        out[name] = names(getattr(reading, name)) or None
    return out
