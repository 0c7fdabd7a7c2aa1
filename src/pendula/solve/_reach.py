"""Steps that would end next to a sample end at it. Imports Diffrax: loaded late."""

from __future__ import annotations

from typing import Any

import diffrax
from jaxtyping import Array, Float


class Reaching(diffrax.AbstractAdaptiveStepSizeController):
    """Lengthens what another controller proposes by `slack`, for one that clips steps
    at given times (`diffrax.ClipStepSizeController`).

    On samples as far apart as the step is long, that step misses the sample by
    rounding. The remainder of 1e-16 is then stepped over, and the next step, grown
    from it, is below the smallest that is allowed: a motion without any difficulty
    ended as `step_too_small`.
    """

    controller: Any
    slack: Float[Array, ""]
    rtol: Any
    atol: Any
    norm: Any

    def __init__(self, controller: Any, slack: Float[Array, ""]) -> None:
        self.controller, self.slack = controller, slack
        self.rtol, self.atol = controller.rtol, controller.atol
        self.norm = controller.norm

    def wrap(self, direction: Any) -> Reaching:
        """The same for a direction in time."""
        return Reaching(self.controller.wrap(direction), self.slack)

    def init(
        self,
        terms: Any,
        t0: Any,
        t1: Any,
        y0: Any,
        dt0: Any,
        args: Any,
        func: Any,
        error_order: Any,
    ) -> Any:
        """End of the first step and the first state: the other controller's."""
        return self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)

    def adapt_step_size(
        self,
        t0: Any,
        t1: Any,
        y0: Any,
        y1_candidate: Any,
        args: Any,
        y_error: Any,
        error_order: Any,
        controller_state: Any,
    ) -> Any:
        """The other controller's decision, the next step longer by `slack`."""
        keep, next_t0, next_t1, *rest = self.controller.adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state
        )
        return keep, next_t0, next_t1 + self.slack, *rest
