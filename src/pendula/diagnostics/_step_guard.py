"""Looks at a training's solver step while it runs, and asks for half of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .._checks import positive, whole
from ..train import AbstractCallback, StopTraining, TrainState
from ._words import number


HALVED = "the training step is halved"  # how the reason of such a stop begins


class StepGuard(AbstractCallback):
    r"""Keeps a training from fitting its solver: measures the solver gap C every
    `every` steps, and stops with the advice to halve the step where C > `tolerance`.

    $$ C = \mathrm{RMS}\big( x_{s,h} - x \big) / S $$

    between rollouts in the training scheme at the training step and the model's own
    motion, both with the parameters of the moment; no truth is needed. What runs the
    training halves the step and goes on from the same state: `pendula.fit` does so
    when it is given a guard, `fit(model, data, config, callbacks=[StepGuard()])`, and
    measures C on held-out clips. C grows with their length: give `samples` where the
    model is to be used over longer stretches than it is trained on.

    **Arguments:**
    - `every`: updates between two looks; `tolerance`: the largest C that is let pass.
    - `most`: halvings in all, after which the training is left alone.
    - `samples`: length of the clips on which `fit` measures C (at most that of the
      held-out records); None: that of its longest training clips.
    - `gap`: `gap(params) -> C` or one value a member, of which the middle one counts
      (one that is not finite as infinite); `fit` brings its own (`bind`).

    **Raises:** `ConfigError` for settings that make no sense.
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
        every: int = 200,
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
        self.gap, self.seen, self.halvings = gap, 0, 0

    def bind(self, gap: Callable[[Any], Any] | None, step: int, halvings: int) -> None:
        """Take up a stage of a training that stands at `step` (None: it has no
        rollouts, nothing is looked at)."""
        self.gap, self.seen, self.halvings = gap, step, halvings

    def __call__(self, state: TrainState, row: dict[str, Any]) -> TrainState:
        step, due = int(row["step"]), self.seen // self.every
        self.seen = step
        if self.gap is None or step // self.every == due:
            return state
        values = np.atleast_1d(np.asarray(self.gap(state.params), float))
        # a rollout that left the finite numbers is infinitely far from the motion
        gap = float(np.median(np.where(np.isfinite(values), values, math.inf)))
        row["solver_gap"] = gap
        if gap > self.tolerance and self.halvings < self.most:
            raise StopTraining(
                f"{HALVED} at step {step}: solver gap {number(gap)}, tolerance "
                f"{number(self.tolerance)}"
            )
        return state
