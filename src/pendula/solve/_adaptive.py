"""Schemes whose step adapts inside each sampling interval: models that are stiff."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp

from .._registry import register
from .._source import Source
from .._types import Context, State, Time
from ._integrate import small_tolerance, solver_of
from ._schemes import AbstractScheme, Field, Inputs


@dataclasses.dataclass(frozen=True)
class Adaptive(AbstractScheme):
    r"""One interval by a Diffrax solver, as many steps as its tolerances ask for.

    $$ y' = y + \int_t^{t+h} f(s, y(s), u(s))\,ds, \qquad
       \| \mathrm{err}_i / (\mathrm{atol} + \mathrm{rtol}\,|y_i|) \|_{rms} \le 1 $$

    For rollouts and fits of stiff fields, where an explicit step would have to follow
    what relaxes much faster than it is sampled. `integrate` does a whole grid at once,
    with events and a finer status.

    **Arguments:** `solver`: a name of `SOLVERS`; `rtol`, `atol`: tolerances of a step,
    not below the rounding of the state's dtype (`atol` None: 1e-8, or 1e-8 of the
    largest component at the interval's start where that is below 1, down to 1e-12 in
    double precision); `max_steps` for one interval.
    **Behaviour / good values:** in double precision. An interval that is not done
    within `max_steps` is NaN, which a rollout reports as `non_finite_state`.
    Derivatives in both directions are those of the discrete solution; a reverse one
    keeps `max_steps` states.
    **Source:** Kvaerno 2004, BIT 44, 489-502; Kidger 2022, arXiv:2202.02435, chapter 5.

    ```python
    >>> import jax, numpy as np
    >>> from pendula.solve import rollout
    >>> stiff = lambda t, y, u, c: -1e4 * y
    >>> with jax.enable_x64(True):
    ...     out = rollout(stiff, np.ones(1), np.array([0.0, 1.0]), scheme="kvaerno5")
    >>> abs(float(out.ys[-1, 0])) < 1e-6
    True

    ```
    """

    source: ClassVar[Source] = Source("Kvaerno2004", "Kvaerno5/4")

    name: str = "kvaerno5"
    order: int = 5
    solver: str = "kvaerno5"
    rtol: float = 1e-6
    atol: float | None = None
    max_steps: int = 256

    def step(
        self,
        field: Field,
        t: Time,
        y: State,
        dt: Time,
        inputs: Inputs,
        context: Context,
    ) -> State:
        # half a second of import that other schemes need not pay
        import diffrax

        digits = 100.0 * float(jnp.finfo(y.dtype).eps)
        moves = dt > 0  # a step of padding has no length
        span = jnp.where(moves, dt, 1.0)

        def slope(s: Any, y: State, args: Context) -> State:
            return field(t + s, y, inputs(s), args)

        rtol: Any = max(self.rtol, digits)
        if self.atol is None:
            # a state that has decayed away asks for no digits
            least = float(jnp.finfo(y.dtype).eps) ** 0.75 * max(1e-8, digits)
            atol: Any = jnp.maximum(small_tolerance(y, max(1e-8, digits)), least)
        else:
            atol = max(self.atol, digits)
        solver, first = solver_of(self.solver, rtol, atol, span)
        solution: Any = diffrax.diffeqsolve(
            diffrax.ODETerm(slope),
            solver,
            jnp.zeros_like(span),
            span,
            first,
            y,
            context,
            saveat=diffrax.SaveAt(t1=True),
            stepsize_controller=diffrax.PIDController(rtol, atol),
            adjoint=diffrax.DirectAdjoint(),
            max_steps=self.max_steps,
            throw=False,
        )
        done = solution.result == diffrax.RESULTS.successful
        moved = jnp.where(done, solution.ys[0], jnp.nan)
        return jnp.where(moves, moved, y)


KVAERNO5 = Adaptive()
"""For stiff fields: implicit, of order 5, steps chosen by its error."""
register("scheme", KVAERNO5.name)(KVAERNO5)
