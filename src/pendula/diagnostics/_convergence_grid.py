"""What a convergence test is asked for, checked: schemes, samples, steps, truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._errors import ConfigError, ShapeError
from .._precision import precision
from ..solve import AbstractScheme, Adaptive, scheme as find_scheme
from ._convergence_sweep import Drive, step_counts


ADAPTIVE = Adaptive(name="adaptive", solver="tsit5", max_steps=4096)
Truth = Callable[[float], Any] | tuple[Any, Any]


def pick_schemes(
    schemes: Sequence[str | AbstractScheme], trained: str | AbstractScheme
) -> tuple[list[AbstractScheme], AbstractScheme]:
    """The schemes of the sweep, the trained one among them."""
    find = lambda s: ADAPTIVE if s == ADAPTIVE.name else find_scheme(s)
    train = find(trained)
    methods = [find(s) for s in schemes]
    if train.name not in {m.name for m in methods}:
        methods.append(train)
    return methods, train


def check_samples(span: float, dt: float, substeps: int) -> int:
    """Training samples over the horizon."""
    if not (0 < dt < math.inf and substeps >= 1):
        raise ConfigError(
            f"dt_train is {dt:g} and substeps {substeps}; they must be above 0 and at "
            "least 1."
        )
    if not 0 < span < math.inf:
        raise ConfigError(f"the horizon t1 - t0 is {span:g}; it must be above 0.")
    samples = round(span / dt)
    if samples < 1 or abs(samples * dt - span) > 1e-9 * span:
        raise ConfigError(
            f"t1 - t0 = {span:.12g} is no multiple of dt_train = {dt:.12g} (it is "
            f"{span / dt:.12g} of them). Choose t1 - t0 = {max(samples, 1) * dt:.12g}."
        )
    return samples


def pick_counts(
    hs: Sequence[float] | None, span: float, samples: int, substeps: int
) -> tuple[list[int], list[str]]:
    """Whole numbers of steps, few first, the trained one among them; and notes. All
    rounding is in the number of steps, none in h."""
    train = samples * substeps
    if hs is None:
        return step_counts(train, samples), []
    if len(hs) == 0:
        raise ConfigError("hs is empty; give at least one step, or None.")
    counts, notes = set(), []
    for h in hs:
        if not 0 < h <= span * (1 + 1e-9):
            raise ConfigError(
                f"a step h = {h:g} does not fit into the horizon t1 - t0 = {span:g}; "
                "steps must be above 0 and at most the horizon."
            )
        count = round(span / h)
        counts.add(count)
        if abs(span / h - count) > 1e-6 * count:
            notes.append(f"h = {h:g} became {span / count:.6g}.")
    if train not in counts:
        counts.add(train)
        notes.append(f"The trained step {span / train:g} was added.")
    return sorted(counts), notes


def make_drive(given: tuple[Any, Any], since: np.ndarray, dtype: Any) -> Drive:
    """Inputs with a knot at every sample, none beyond the last one."""
    knots, path = (np.asarray(x, np.float64) for x in given)
    if path.ndim != 3 or path.shape[:2] != (len(knots) - 1, 4):
        raise ShapeError(
            f"drive has {len(knots)} knots and coefficients {path.shape}; expected "
            f"({len(knots) - 1}, 4, ctrl)."
        )
    slack = 1e-6 * (since[1] - since[0])
    inside = np.flatnonzero((knots > -slack) & (knots < since[-1] + slack))
    knots, path = knots[inside], path[inside[:-1]]
    near = np.abs(knots[:, None] - since).min(0) if len(knots) else np.ones(1)
    if near.max() > slack:
        raise ConfigError(
            f"the inputs have no knot at {since[int(np.argmax(near))]:g} after t0; "
            "give coefficients with one at every multiple of dt_train up to t1."
        )
    with precision(dtype):
        return Drive(jnp.asarray(knots, dtype), jnp.asarray(path, dtype))


def known_truth(
    truth: Truth, ts: np.ndarray, like: np.ndarray, whole: bool
) -> np.ndarray:
    """The truth at the samples `"traj time obs"`, NaN where it is not known."""
    out = np.full(like.shape, np.nan)
    one = (like.shape[0], like.shape[2])
    if callable(truth):
        rows = [np.asarray(truth(float(t)), np.float64) for t in ts]
        for row in rows:
            if row.shape not in (one, one[1:]):
                _refuse("truth(t) gives", row.shape, one, whole)
        out[:] = np.stack([np.broadcast_to(r, one) for r in rows], axis=1)
    else:
        at, ys = (np.asarray(x, np.float64) for x in truth)
        ys = ys[None] if ys.ndim == 2 else ys
        expected = (one[0], len(at), one[1])
        if ys.shape[1:] != expected[1:] or ys.shape[0] not in (1, one[0]):
            _refuse("the truth's samples have", ys.shape, expected, whole)
        near = np.abs(at[:, None] - ts).argmin(0)
        meets = np.abs(at[near] - ts) <= 1e-6 * (ts[1] - ts[0])
        out[:, meets] = ys[:, near[meets]]
    if not np.isfinite(out[:, -1]).all():
        raise ShapeError(
            f"the truth is not known at t1 = {ts[-1]:g}; choose the end among its "
            "samples."
        )
    return out


def _refuse(what: str, found: Any, expected: Any, whole: bool) -> None:
    more = "" if whole else " (of what observe gives)"
    raise ShapeError(f"{what} shape {found}; expected {expected}{more}.")
