"""The fields of a fitted ensemble, and the region of states that training visited."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._precision import cast, precision, to_device
from .._tree import split_trainable
from ._fitted import Fitted
from ._panels import _state_axis
from ._prepare import Prepared


@dataclasses.dataclass(frozen=True)
class Region:
    """The fields of the members on the region that training visited.

    `fields`: of the finite members, the middle one first; `seen` `"sample dim"`: states
    of the training part; `low`, `high` `"dim"`: their range; `axes`: name and unit of
    each state entry; `u` `"ctrl"`: the mean input, or None; `deadline`: when time is up
    (`time.monotonic`).
    """

    fields: tuple[Any, ...]
    seen: np.ndarray
    low: np.ndarray
    high: np.ndarray
    axes: tuple[tuple[str, str], ...]
    time_unit: str
    u: np.ndarray | None
    deadline: float

    @property
    def width(self) -> np.ndarray:
        """Of the visited range `"dim"`."""
        return self.high - self.low

    @property
    def is_late(self) -> bool:
        """Whether the time for all this is used up."""
        return time.monotonic() > self.deadline


def region(fitted: Fitted, prepared: Prepared, seconds: float) -> Region | None:
    """The finite members on the region that training visited, to be described within
    so many seconds; None when no member is finite."""
    middle = fitted.members // 2
    order = [middle, *(i for i in range(fitted.members) if i != middle)]
    models = [fitted.model(i) for i in order]
    fields = tuple(m.field for m in models if _is_finite(m))
    if not fields:
        return None
    seen = prepared.states.ys.reshape(-1, fitted.ensemble.dim)
    seen = seen[np.isfinite(seen).all(1)].astype(np.float64)
    low, high = seen.min(0), seen.max(0)
    # a channel that stood still has no range: the box needs some
    flat = high - low <= 1e-9 * np.maximum(np.abs(low), 1e-300)
    pad = np.where(flat, 0.1 * np.maximum(np.abs(low), 1.0), 0.0)
    u = None
    if prepared.train.us is not None:
        rows = zip(prepared.train.us, prepared.train.lengths, strict=True)
        u = np.concatenate([us[:n] for us, n in rows]).mean(0)
    return Region(
        fields,
        seen,
        low - pad,
        high + pad,
        tuple(_state_axis(fitted, i) for i in range(fitted.ensemble.dim)),
        fitted.about["time_unit"],
        u,
        time.monotonic() + seconds,
    )


def _is_finite(model: Any) -> bool:
    leaves = jax.tree.leaves(split_trainable(model)[0])
    return all(np.isfinite(x).all() for x in leaves)


@eqx.filter_jit
def _rates(field: Any, t: Any, ys: Any, u: Any) -> Any:
    return jax.vmap(lambda y: field(t, y, u, None))(ys)


def evaluate(law: Region, ys: np.ndarray, t: float = 0.0) -> np.ndarray:
    """dy/dt of the first member at states `"sample dim"`."""
    with precision(np.float64):
        field, u = to_device(cast((law.fields[0], law.u), np.float64))
        return np.asarray(_rates(field, jnp.asarray(t), jnp.asarray(ys), u))
