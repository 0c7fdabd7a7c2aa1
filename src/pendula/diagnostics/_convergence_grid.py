"""What a convergence test is asked for, checked: schemes, samples, steps, truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from .._checks import positive, takes, whole
from .._errors import ConfigError, DataError, ShapeError
from .._precision import precision
from ..solve import AbstractScheme, Adaptive, as_field, scheme as find_scheme
from ._convergence_sweep import FINEST, Drive, step_counts
from ._equilibria import Field


ADAPTIVE = Adaptive(name="adaptive", solver="tsit5", max_steps=4096)
MOST = 2**31 - 1  # steps: beyond, their numbers do not fit into an int32
Truth = Callable[[float], Any] | tuple[Any, Any]


def pick_schemes(
    schemes: Sequence[str | AbstractScheme], trained: str | AbstractScheme
) -> tuple[list[AbstractScheme], AbstractScheme]:
    """The schemes of the sweep, each once, the trained one among them."""

    def find(which: str | AbstractScheme) -> AbstractScheme:
        try:
            return ADAPTIVE if which == ADAPTIVE.name else find_scheme(which)
        except ConfigError as error:
            raise ConfigError(f"{error} Here also: {ADAPTIVE.name}.") from None

    train = find(trained)
    some = [schemes] if isinstance(schemes, str) else schemes
    methods = {m.name: m for m in (*map(find, some), train)}
    return list(methods.values()), train


def part_truth(
    truth: Truth | Field | None, true_field: Field | None
) -> tuple[Truth | None, Field | None]:
    """Truth as values, and as a field: what no time alone can be given is one."""
    if callable(truth) and not takes(truth, 1):
        if true_field is not None:
            raise ConfigError(
                "truth and true_field are both fields. Give one of them, or truth as a "
                "function of time."
            )
        truth, true_field = None, cast(Any, truth)
    pair = isinstance(truth, (tuple, list)) and len(truth) == 2
    if truth is not None and not callable(truth) and not pair:
        raise ConfigError(
            f"truth is a {type(truth).__name__}; give a function of time, samples "
            "(ts, ys), or a field."
        )
    return cast(Any, truth), None if true_field is None else as_field(true_field)


def check_start(x0: Any) -> np.ndarray:
    """Starts `"traj dim"`, finite."""
    start = np.asarray(x0, np.float64)
    start = start[None] if start.ndim == 1 else start
    if start.ndim != 2 or not start.size:
        raise ShapeError(
            f"x0 has shape {np.shape(x0)}; expected (traj, dim) or (dim,)."
        )
    if not np.isfinite(start).all():
        raise DataError("x0 holds NaN or infinity. Leave those starts out.")
    return start


def check_samples(span: float, dt: float, substeps: int) -> int:
    """Training samples over the horizon."""
    whole(1, substeps=substeps)
    positive(**{"dt_train": dt, "the horizon t1 - t0": span})
    samples = round(span / dt)
    if samples < 1 or abs(samples * dt - span) > 1e-9 * span:
        raise ConfigError(
            f"t1 - t0 = {span:.12g} is no multiple of dt_train = {dt:.12g} (it is "
            f"{span / dt:.12g} of them). Choose t1 - t0 = {max(samples, 1) * dt:.12g}."
        )
    return samples


def pick_counts(
    hs: ArrayLike | None, span: float, samples: int, substeps: int
) -> tuple[list[int], list[str]]:
    """Whole numbers of steps, few first, the trained one among them; and notes. All
    rounding is in the number of steps, none in h."""
    train = samples * substeps
    if hs is None:
        _countable(FINEST * train, span)
        return step_counts(train, samples), []
    steps = np.asarray(hs, np.float64)
    if steps.ndim != 1:
        raise ConfigError(f"hs is {hs}; give a list of steps, or None.")
    if not steps.size:
        raise ConfigError("hs is empty; give at least one step, or None.")
    counts, notes = set(), []
    for h in steps.tolist():
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
    _countable(max(counts), span)
    return sorted(counts), notes


def _countable(count: int, span: float) -> None:
    """A number of steps that can be taken."""
    if count > MOST:
        raise ConfigError(
            f"h = {span / count:g} is {count:.3g} steps over the horizon {span:g}; at "
            f"most {MOST} can be counted. Give larger steps (hs) or an earlier t1."
        )


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
            f"no input was measured at {since[int(np.argmax(near))]:g} after t0, where "
            "a step of the training ends. Resample the inputs evenly, dt_train apart, "
            "up to t1."
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
            if row.shape != one and not (one[0] == 1 and row.shape == one[1:]):
                _refuse("truth(t) gives", row.shape, one, whole)
        out[:] = np.stack([row.reshape(one) for row in rows], axis=1)
    else:
        at, ys = (np.asarray(x) for x in truth)
        rounding = 4.0 * _resolution(at) * float(np.max(np.abs(ts)))
        at, ys = at.astype(np.float64), ys.astype(np.float64)
        ys = ys[None] if ys.ndim == 2 else ys
        expected = (one[0], len(at), one[1])
        if ys.shape != expected:
            _refuse("the truth's samples have", ys.shape, expected, whole)
        # a record may be padded
        real = np.isfinite(at) & ~np.isnan(ys).all((0, 2))
        at, ys = at[real], ys[:, real]
        found, meets = _meetings(at, ts, max(1e-6 * (ts[1] - ts[0]), rounding))
        out[:, meets] = ys[:, found[meets]]
    if np.isinf(out).any():
        when = ts[np.flatnonzero(np.isinf(out).any((0, 2)))[0]]
        raise DataError(
            f"the truth is infinite at t = {when:g}; give NaN where it is not known."
        )
    if not np.isfinite(out[:, -1]).all():
        raise ShapeError(
            f"the truth is not known at t1 = {ts[-1]:g}; choose the end among its "
            "samples."
        )
    if (np.isfinite(out).any(2).sum(1) < 2).any():
        raise DataError(
            f"of {len(ts)} samples the truth is known at t1 = {ts[-1]:g} alone, where "
            "it has no spread. Give it at other multiples of dt_train, too."
        )
    return out


def _resolution(at: np.ndarray) -> float:
    """Of times as they were given: in single precision they meet no others exactly."""
    floating = np.issubdtype(at.dtype, np.floating)
    return float(np.finfo(at.dtype).eps) if floating else 0.0


def _meetings(
    at: np.ndarray, ts: np.ndarray, slack: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which of the times `at` is nearest to each of `ts`, and whether it is within
    `slack`."""
    if not len(at):
        return np.zeros(len(ts), int), np.zeros(len(ts), bool)
    order = np.argsort(at)
    right = np.searchsorted(at[order], ts).clip(1, max(1, len(at) - 1))
    pair = np.stack([order[right - 1], order[np.minimum(right, len(at) - 1)]])
    away = np.abs(at[pair] - ts)
    nearest = away.argmin(0)
    rows = np.arange(len(ts))
    return pair[nearest, rows], away[nearest, rows] <= slack


def _refuse(what: str, found: Any, expected: Any, whole: bool) -> None:
    more = "" if whole else " (of what observe gives)"
    raise ShapeError(f"{what} shape {found}; expected {expected}{more}.")
