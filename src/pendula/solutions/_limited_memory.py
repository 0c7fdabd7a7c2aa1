"""L-BFGS on all weights, as the published networks were trained."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from jaxtyping import Array, Float, PRNGKeyArray

from ..train import Step, lbfgs_state, lbfgs_step
from ._objective import Objective, Trained
from ._optimise import (
    AbstractOptimiser,
    OptimiserTrace,
    check_settings,
    check_weights,
    follow,
    handed_back,
    placed,
    scope,
)
from ._outcome import Deadline


@dataclasses.dataclass(frozen=True)
class LBFGS(AbstractOptimiser):
    r"""L-BFGS on the whole objective with a strong Wolfe line search: step S2 of the
    solver ladder, for any number of weights.

    In the precision of the objective. In float32 the tolerances are met early, far from
    a solution: this is how the published networks of 2021 stop.

    **Arguments:**
    - `steps`: iterations at most (rounded up to a multiple of `inner`).
    - `history`: pairs that are kept, 50 as published.
    - `tolerance_grad`: largest entry of the gradient below which it has converged;
      `tolerance_change`: change of the loss, and largest change of a weight, below
      which it has stalled; 1e-7 as published, None: not asked.
    - `inner`: iterations in one call of the compiled program.

    **Raises:** `ConfigError` for settings that cannot be used.
    **Source:** Liu, Nocedal 1989; settings: Krishnapriyan et al. 2021.

    ```python
    >>> from pendula.solutions._limited_memory import LBFGS
    >>> LBFGS(steps=500, tolerance_change=None).history
    50

    ```
    """

    steps: int = 15000
    history: int = 50
    tolerance_grad: float | None = 1e-7
    tolerance_change: float | None = 1e-7
    inner: int = 50

    def __post_init__(self) -> None:
        least = {"steps": 1, "history": 1, "inner": 1}
        some = {"tolerance_grad": 0.0, "tolerance_change": 0.0}
        check_settings("LBFGS", {**least, **some}, self)

    def minimise(
        self,
        objective: Objective,
        theta: Trained,
        *,
        deadline: Deadline,
        key: PRNGKeyArray,
    ) -> tuple[Trained, OptimiserTrace]:
        check_weights("LBFGS", theta)
        with scope(objective):
            objective, theta = placed((objective, theta))
            inner = min(self.inner, self.steps)
            state, trace = follow(
                _program(
                    self.history, inner, self.tolerance_grad, self.tolerance_change
                ),
                theta,
                lbfgs_state(theta, memory=self.history, inner=inner),
                objective,
                steps=self.steps,
                inner=inner,
                deadline=deadline,
                key=key,
            )
            return handed_back(state), trace


def _loss(theta: Trained, objective: Any) -> Float[Array, ""]:
    """The loss as `train` takes it."""
    return objective.loss(theta)


@functools.lru_cache(maxsize=16)
def _program(memory: int, inner: int, grad: float | None, change: float | None) -> Step:
    """The step of these settings: all objectives of the same shapes share it."""
    return lbfgs_step(
        _loss,
        memory=memory,
        inner=inner,
        tolerance_grad=grad,
        tolerance_change=change,
    )
