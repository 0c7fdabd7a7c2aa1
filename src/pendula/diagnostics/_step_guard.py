"""Looks at a training's solver step while it runs, and asks for half of it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .._checks import positive, whole
from .._errors import FitWarning
from ..train import AbstractCallback, StopTraining, TrainState, finish
from ._words import number


HALVED = "the training step is halved"
"""How the reason of a stop by `StepGuard` begins."""


class StepGuard(AbstractCallback):
    r"""Keeps a training from fitting its solver: measures the solver gap C as it goes,
    and stops with the advice to halve the step where C > `tolerance`.

    $$ C = \mathrm{RMS}\big( x_{s,h} - x \big) / S $$

    between rollouts in the training scheme at the training step and the model's own
    motion, both with the parameters of the moment; no truth is needed. What runs the
    training halves the step and goes on from the same state: `pendula.fit` does so
    when it is given a guard, `fit(model, data, config, callbacks=[StepGuard()])`, and
    measures C on held-out clips. C grows with their length: give `samples` where the
    model is to be used over longer stretches than it is trained on.

    **Arguments:**
    - `every`: updates between two looks, which are taken when the training is logged;
      1: each time. `tolerance`: the largest C that is let pass.
    - `most`: halvings in all, after which the training is left alone.
    - `samples`: length of the clips on which `fit` measures C (at most that of the
      held-out records); None: that of its longest training clips.
    - `gap`: `gap(params) -> C` or one value a member, of which the middle one counts
      (one that is not finite as infinite); `fit` brings its own (`bind`).

    **Raises:** `ConfigError` for settings that make no sense.
    **Behaviour:** behind the last update nothing is halved: what was learned in longer
    steps would be rolled out in shorter ones. Where a stage ends with C > `tolerance`
    all the same, it warns (`FitWarning`).
    **Source:** Ott, Katiyar, Hennig, Tiemann 2021, ResNet after all?,
    arXiv:2007.15386, algorithm 1, which compares accuracies; C is ours.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.diagnostics import StepGuard
    >>> from pendula.train import StopTraining, TrainState
    >>> guard = StepGuard(every=10, tolerance=0.05, gap=lambda params: 0.2)
    >>> state = TrainState.start(jnp.zeros(1), None, jax.random.key(0))
    >>> try:
    ...     guard(state, {"step": 10})
    ... except StopTraining as stop:
    ...     print(stop)
    the training step is halved at step 10: solver gap 0.2, tolerance 0.05

    ```
    """

    def __init__(
        self,
        every: int = 1,
        tolerance: float = 0.05,
        most: int = 6,
        gap: Callable[[Any], Any] | None = None,
        *,
        samples: int | None = None,
    ) -> None:
        whole(1, "StepGuard", every=every)
        whole(0, "StepGuard", most=most)
        positive("StepGuard", tolerance=tolerance)
        if samples is not None:
            whole(4, "StepGuard", samples=samples)
        self.every, self.tolerance, self.most = every, tolerance, most
        self.samples = samples
        self.gap, self.seen, self.halvings, self.halves = gap, 0, 0, True
        self.end: float = math.inf

    def bind(
        self,
        gap: Callable[[Any], Any] | None,
        step: int,
        halvings: int,
        *,
        halves: bool = True,
    ) -> None:
        """Take up a stage of a training that stands at `step` (None: it has no
        rollouts, nothing is looked at); `halves`: whether its step may be halved."""
        self.gap, self.seen, self.halvings = gap, step, halvings
        self.halves = halves

    def open(self, num_steps: int) -> None:
        """How far the stage goes."""
        self.end = num_steps

    def __call__(self, state: TrainState, row: dict[str, Any]) -> TrainState:
        step, due = int(row["step"]), self.seen // self.every
        self.seen = step
        if self.gap is None or step // self.every == due:
            return state
        gap = row["solver_gap"] = _middle(self.gap(state.params))
        left = self.halves and self.halvings < self.most and step < self.end
        if gap > self.tolerance and left:
            raise StopTraining(
                f"{HALVED} at step {step}: solver gap {number(gap)}, tolerance "
                f"{number(self.tolerance)}"
            )
        return state

    def close(self, state: TrainState, reason: str | None) -> None:
        """Look at what the stage hands on, where it ended by itself."""
        if self.gap is None or reason is None or reason.startswith(HALVED):
            return
        gap = _middle(self.gap(finish(state)))
        if gap > self.tolerance:
            warnings.warn(
                f"at step {int(state.step)} a stage of the training ended with a "
                f"solver gap of {number(gap)}, above the tolerance "
                f"{number(self.tolerance)}, after {self.halvings} of at most "
                f"{self.most} halvings: its rollouts depend on the solver's step. Take "
                "more substeps, a scheme of higher order, or a guard that halves more "
                "often.",
                FitWarning,
                stacklevel=2,
            )


def _middle(values: Any) -> float:
    """The middle gap of all members."""
    values = np.atleast_1d(np.asarray(values, float))
    # a rollout that left the finite numbers is infinitely far from the motion
    return float(np.median(np.where(np.isfinite(values), values, math.inf)))
