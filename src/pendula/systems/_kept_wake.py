"""What the wakes of cylinders and other bodies share: their forces, files and cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .._errors import DataError, DataWarning
from .._machine import revision
from ..data import Snapshots, cache_folder, read_snapshots, write_snapshots
from ._cylinder_numbers import WakeNumbers, wake_numbers


SETTLED = 0.1  # share by which the swings of a flow that sheds may still change


@runtime_checkable
class Forces(Protocol):
    """A computed wake: times of its snapshots, and the forces at those of its steps."""

    @property
    def ts(self) -> np.ndarray:
        """Of the snapshots."""
        ...

    @property
    def step_ts(self) -> np.ndarray:
        """Of the steps."""
        ...

    @property
    def drag(self) -> np.ndarray:
        """C_D."""
        ...

    @property
    def lift(self) -> np.ndarray:
        """C_L."""
        ...


def stretch_numbers(
    run: Forces, start: float | None = None, end: float | None = None
) -> WakeNumbers:
    """Frequency and forces from `start` to `end` (default: the snapshots').

    **Raises:** `DataError` for a stretch without steps.
    """
    low = run.ts[0] if start is None else start
    high = run.ts[-1] if end is None else end
    seen = (run.step_ts >= low - 1e-9) & (run.step_ts <= high + 1e-9)
    if seen.sum() < 2:
        ends = [f"{t:g}" for t in run.step_ts[[0, -1]]] if len(run.step_ts) else []
        raise DataError(
            f"fewer than two steps lie from {low:g} to {high:g}; those of the run go "
            f"from {' to '.join(ends) or 'nowhere'}. Take a longer stretch, or more "
            "snapshots."
        )
    return wake_numbers(run.step_ts[seen], run.drag[seen], run.lift[seen])


def wake_attrs(
    settings: Mapping[str, Any], found: WakeNumbers | None
) -> dict[str, Any]:
    """What is known of a set, as numbers and words that a file can hold; numbers that
    are not known are left out."""
    about = {**settings, "pendula": version("pendula")}
    about["revision"] = revision() or "unknown"
    if found is not None:
        about |= {
            "St": found.strouhal,
            "C_D": found.drag,
            "C_L amplitude": found.lift_amplitude,
            "period change": found.period_change,
            "C_L change": found.lift_change,
        }
    return {k: v for k, v in about.items() if not (isinstance(v, float) and v != v)}


def warn_unsettled(data: Snapshots) -> Snapshots:
    """The same; a `DataWarning` where its shedding is not yet, or no longer, what the
    numbers of its attributes say."""
    change = data.attrs.get("C_L change", 0.0)
    if abs(change) > SETTLED:
        how = "die out" if change < 0.0 else "grow"
        warnings.warn(
            f"the swings of the lift {how} by {100 * abs(change):.0f} % over the "
            "snapshots: St and forces are those of a flow on its way to another (a "
            "wake below Re = 47 or so comes to rest). Give a later start.",
            DataWarning,
            stacklevel=3,
        )
    return data


def settings_key(told: Mapping[str, Any]) -> str:
    """A hash of settings and of the version of Pendula: the name in the cache."""
    everything = {**told, "version": version("pendula")}
    # numbers of NumPy are those of Python
    text = json.dumps(everything, sort_keys=True, default=lambda x: x.tolist())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def kept_snapshots(
    name: str, key: str, again: bool, make: Callable[[], Snapshots]
) -> Snapshots:
    """Snapshots from the cache's folder `name`, or made and written there."""
    path = cache_folder() / name / f"{key}.npz"
    if path.exists() and not again:
        with contextlib.suppress(DataError):  # a damaged file is made again
            return read_snapshots(path)
    data = make()
    with contextlib.suppress(DataError):  # a cache that cannot be written is no harm
        write_snapshots(data, path)
    return data
