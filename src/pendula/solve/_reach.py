"""Steps that would end next to a sample end at it, and where an event is. Imports
Diffrax: loaded late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import jax.numpy as jnp
import optimistix
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


class Crossing(optimistix.AbstractRootFinder):
    """Bisection for where a value changes its sign, up to `atol` in time.

    That of Optimistix raises where there is no change, as for a member of a batch
    without an event beside one that has one; and it asks for a value below `atol`,
    which one of a large unit never is.
    """

    rtol: float
    atol: Any
    norm: ClassVar[Callable[[Any], Any]] = jnp.abs

    def init(
        self,
        fn: Any,
        y: Any,
        args: Any,
        options: Any,
        f_struct: Any,
        aux_struct: Any,
        tags: Any,
    ) -> Any:
        """The interval, and whether the value falls in it."""
        lower, upper = (jnp.asarray(options[k], y.dtype) for k in ("lower", "upper"))
        return lower, upper, fn(lower, args)[0] > fn(upper, args)[0]

    def step(
        self, fn: Any, y: Any, args: Any, options: Any, state: Any, tags: Any
    ) -> Any:
        """The half with the change, and its middle."""
        lower, upper, falls = state
        value, aux = fn(y, args)
        before = falls ^ (value < 0)
        lower = jnp.where(before, y, lower)
        upper = jnp.where(before, upper, y)
        return lower + 0.5 * (upper - lower), (lower, upper, falls), aux

    def terminate(
        self, fn: Any, y: Any, args: Any, options: Any, state: Any, tags: Any
    ) -> Any:
        """Whether the interval is short enough."""
        short = state[1] - state[0] <= self.atol + self.rtol * jnp.abs(y)
        return short, optimistix.RESULTS.successful

    def postprocess(
        self,
        fn: Any,
        y: Any,
        aux: Any,
        args: Any,
        options: Any,
        state: Any,
        tags: Any,
        result: Any,
    ) -> Any:
        """What was found, as it is."""
        return y, aux, {}
