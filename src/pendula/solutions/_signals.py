"""What a training tells the diagnosis of its last steps."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from .._precision import cast, precision, to_device
from ._limited_memory import LBFGS
from ._objective import Objective, Trained
from ._optimise import OptimiserTrace, placed, scope
from ._outcome import Deadline


_RECENT = 50  # iterations
_STALLED = 1e-6
_STEPS = 20  # in float64, to see whether the loss still falls
_SECONDS = 20.0


def training_signals(
    goal: Objective, theta: Trained, trace: OptimiserTrace
) -> dict[str, float]:
    r"""The signals of a training that has ended; keys as in `Outcome.signals`.

    The alignment of the gradients $g_i$ of n terms is

    $$ A = 2 \Big\| \frac1n \sum_i \frac{g_i}{\|g_i\|} \Big\|^2 - 1 $$

    (the cosine between two of them). A training in float32 that has stalled is looked
    at once more in float64: does its loss fall there?

    **Arguments:** `goal`: what was minimised, in its precision; `theta`: where it
    ended; `trace`: how it went.
    **Source:** Wang, Bhartari, Li, Perdikaris 2025, arXiv:2502.00604 (alignment).
    """
    bits = 8.0 * np.dtype(goal.weights.dtype).itemsize
    found = {"bits": bits, "stopped": float(trace.reason in ("budget", "steps"))}
    for name in ("gradient", "damping", "condition"):
        value = getattr(trace, name)
        if value is not None and np.isfinite(value):
            found[name] = float(value)
    good = trace.losses[np.isfinite(trace.losses)]
    if good.size > 1:
        found["loss"] = float(good.min())
        back = min(_RECENT, good.size - 1)
        before = float(good[good.size - 1 - back])
        # methods of first order look at their loss only now and then
        found["recent"] = back * max(1, round(trace.iterations / (good.size - 1)))
        found["decrease"] = max(0.0, 1.0 - float(good[-1]) / max(before, 1e-300))
    if trace.dampings is not None and len(trace.dampings) > 1:
        recent = np.log10(trace.dampings[-1 - _RECENT :])
        found["damping_change"] = float(recent[-1] - recent[0])
    if trace.overshoot is not None and trace.iterations:
        found["curvature_step"] = trace.overshoot()
    weights = np.asarray(goal.weights, np.float64) ** 2
    if weights.size > 1 and weights.min() > 0.0:
        found["alignment"] = alignment(goal, theta)
        # what a measurement counts is said by its uncertainty, too
        chosen = [not name.startswith("observation") for name in goal.names()]
        found["weight_ratio"] = float(weights[chosen].max() / weights[chosen].min())
    if bits == 32.0 and found.get("decrease", 1.0) < _STALLED:
        found["decrease64"] = _falls_in_float64(goal, theta)
    return found


def alignment(goal: Objective, theta: Trained) -> float:
    """Alignment of the gradients of the terms of a loss; 1 where all point the same
    way, -1 where two are opposed. Terms without a gradient are left out."""
    with scope(goal):
        slopes = np.asarray(_term_slopes(*placed((goal, theta))), np.float64)
    norms = np.linalg.norm(slopes, axis=1)
    own = slopes[norms > 0.0] / norms[norms > 0.0, None]
    if len(own) < 2:
        return 1.0
    return float(2.0 * np.sum(own.mean(0) ** 2) - 1.0)


@eqx.filter_jit
def _term_slopes(goal: Objective, theta: Trained) -> Float[Array, "block weight"]:
    flat, unravel = ravel_pytree(theta)
    return jax.jacrev(lambda w: goal.terms(unravel(w)))(flat)


def _falls_in_float64(goal: Objective, theta: Trained) -> float:
    """By what share of itself the loss falls in a few steps of L-BFGS in float64."""
    with precision(np.float64):
        wide: Any = to_device(cast((goal, theta), np.float64))
        method = LBFGS(
            steps=_STEPS, tolerance_grad=None, tolerance_change=None, inner=_STEPS
        )
        _, trace = method.minimise(
            *wide, deadline=Deadline.after(_SECONDS), key=jax.random.key(0)
        )
    good = trace.losses[np.isfinite(trace.losses)]
    if good.size < 2:
        return 0.0
    return max(0.0, 1.0 - float(good.min()) / max(float(good[0]), 1e-300))
