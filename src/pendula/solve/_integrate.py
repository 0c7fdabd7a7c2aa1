"""The Diffrax gateway: adaptive, implicit, event-stopped integration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._checks import at_least
from .._errors import ConfigError, Status, nearest
from .._types import Context, Control, State, Time
from ._field import as_field, check_rate
from ._grid import all_finite, as_grid, as_path, as_state, polynomial, safe
from ._rollout import Rollout
from ._schemes import Field, Inputs


SOLVERS = {
    "heun": "Heun",
    "bosh3": "Bosh3",
    "tsit5": "Tsit5",
    "dopri5": "Dopri5",
    "dopri8": "Dopri8",
    "kvaerno3": "Kvaerno3",
    "kvaerno5": "Kvaerno5",
}
"""Name here -> class in Diffrax. The Kvaerno ones are implicit, for stiff problems."""

Event = Callable[[Time, State, Context], Any]


def integrate(
    field: Field,
    y0: Any,
    ts: Any,
    us: Any = None,
    context: Context = None,
    *,
    solver: Any = "tsit5",
    rtol: Float[Array, ""] | float = 1e-6,
    atol: Float[Array, ""] | float | None = None,
    max_steps: int = 65536,
    event: Event | None = None,
    bound: Float[Array, ""] | float | None = None,
    jumps: bool | None = None,
    adjoint: Any = None,
) -> Rollout:
    r"""Integrate a field with a step that adapts to the given tolerances.

    $$ \dot y = f(t, y, u(t), c), \qquad
       \| \mathrm{err}_i / (\mathrm{atol} + \mathrm{rtol}\,|y_i|) \|_{rms} \le 1 $$

    Which integrator:

    | problem | choice |
    |---|---|
    | smooth, sampled data | `rollout` with `heun`, `rk4` |
    | stiff | `integrate` with `kvaerno5` |
    | long horizon, conserved energy | `rollout` with `leapfrog` |

    `integrate` also pays where the samples are far apart, the accuracy is to be
    stated, or the end is an event; it compiles several times longer than `rollout`.

    **Arguments:**
    - `field`, `y0`, `ts`, `us`, `context`, `bound`: as for `rollout`. Without inputs
      an explicit solver's steps are longer than the sampling where accuracy allows
      (its dense output fills in); with inputs, implicit, or by `dopri8`, they end at
      each sample.
    - `solver`: a name of `SOLVERS`, or a Diffrax solver.
    - `rtol`, `atol`: tolerances of one step; 1e-6 and 1e-8 suit float32 only just,
      go lower in float64. `atol` is in the unit of the state; None: 1e-8, or 1e-8 of
      the largest component at the start where that is below 1 (a motion that starts
      at zero and stays small needs a smaller one given).
    - `max_steps`: steps after which it gives up.
    - `event`: `event(t, y, context) -> value`, a number; integration stops where the
      value crosses zero, `t_fail` is that time and later states are NaN. A value that
      is zero at the start has to come back to it. Values are looked at where steps
      end: one that crosses zero and back within a step is not seen (`dopri8` and the
      implicit solvers end a step at every sample: give samples that are close).
    - `jumps`: whether the inputs jump at the samples (held inputs), so that the field
      is evaluated on both sides. None: coefficients that are host arrays are looked
      at, others are taken to jump; samples (joined by straight lines) do not.
    - `adjoint`: a Diffrax adjoint; None is `RecursiveCheckpointAdjoint`, whose
      gradients are those of the discrete solution.

    **Returns:** `Rollout`; a failure is a status, never an exception:
    `max_steps_reached`, `step_too_small` (the step fell to rounding, or an implicit
    stage found no solution: stiff or singular there), `non_finite_state` (the field
    is not finite at the start), `non_finite_input`, `diverged`, `event`.
    **Raises:** `ShapeError`, `ConfigError` for grids and settings that cannot be
    used, for what is no field, and one whose dy has not the state's shape.
    **Source:** Kidger, On Neural Differential Equations, 2021, arXiv:2202.02435,
    chapter 5; Tsitouras 2011 (`tsit5`), Kvaerno 2004 (`kvaerno3`, `kvaerno5`).

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.solve import integrate
    >>> out = integrate(lambda t, y, u, c: -y, jnp.ones(1), np.array([0.0, 1.0]))
    >>> round(float(out.ys[-1, 0]), 4), int(out.status)
    (0.3679, 0)

    ```
    """
    # half a second of import that users of `rollout` alone need not pay
    import diffrax

    from ._reach import Crossing, Reaching

    at_least(1, max_steps=max_steps)
    for name, tol in (("rtol", rtol), ("atol", atol)):
        if tol is not None and not isinstance(tol, jax.Array) and not tol > 0:
            raise ConfigError(f"{name} is {tol:g}; it must be above 0.")
    _known(solver)
    y0 = as_state(y0)
    t0, since, dts = as_grid(ts, y0.dtype)
    if not isinstance(ts, jax.Array) and not ts[-1] > ts[0]:
        raise ConfigError(
            f"ts runs from {ts[0]:g} to {ts[-1]:g}: no time passes. Give later times."
        )
    path = as_path(us, dts)
    if jumps is None:
        jumps = _jumps(us, ts)
    field = as_field(field)
    check_rate(field, t0, y0, None if path is None else path[0, 0], context)
    good = all_finite(y0, since, dts, path, context)
    y0, path, context = safe((y0, path, context), good)
    inputs = _inputs(path, since)
    atol = small_tolerance(y0) if atol is None else atol

    def slope(s: Any, y: State, args: Context) -> State:
        dy = field(t0 + s, y, inputs(s), args)
        return jnp.where(good, dy, jnp.zeros_like(dy))

    starts = good & jnp.all(jnp.isfinite(slope(since[0], y0, context)))
    span = jnp.where(good, since[-1], 1.0)
    least = 4.0 * jnp.finfo(y0.dtype).eps * span
    method, first = solver_of(solver, rtol, atol, span)
    controller = diffrax.PIDController(rtol, atol, dtmin=least, force_dtmin=False)
    reaching = Reaching(controller, least)
    # A step that crosses a corner of the inputs has poor derivatives with respect
    # to them; and the dense output of an implicit solver (a cubic) and of Dopri8 (500
    # times its error at 1e-13, measured) is far below its order: all then step from
    # sample to sample.
    poor = (diffrax.AbstractImplicitSolver, diffrax.Dopri8)
    if len(since) > 2:  # a clip of no times is none
        if path is not None and jumps:
            controller = diffrax.ClipStepSizeController(reaching, jump_ts=since[1:-1])
        elif path is not None or isinstance(method, poor):
            controller = diffrax.ClipStepSizeController(reaching, step_ts=since[1:-1])
    stop = None
    if event is not None:
        digits = 8.0 * float(jnp.finfo(y0.dtype).eps)
        value = lambda t, y: event(t0 + t, y, context)
        leaving = _leaving(value, since[0], y0, slope(since[0], y0, context))
        stop = diffrax.Event(
            lambda t, y, args, **_: leaving(t, event(t0 + t, y, args)),
            Crossing(0.0, digits * span),
        )
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(slope),
        method,
        since[0],
        since[-1],
        first,
        y0,
        context,
        saveat=diffrax.SaveAt(
            subs=[diffrax.SubSaveAt(ts=since), diffrax.SubSaveAt(t1=True)]
        ),
        stepsize_controller=controller,
        adjoint=diffrax.RecursiveCheckpointAdjoint() if adjoint is None else adjoint,
        event=stop,
        max_steps=max_steps,
        throw=False,
    )
    return _outcome(solution, good, starts, t0, since, bound)


def small_tolerance(y0: State, share: float = 1e-8) -> Float[Array, ""]:
    """The absolute tolerance of a motion from `y0`: with 1e-8 for all of them, a small
    one was a state that may be anything, and was called ok."""
    size = jnp.max(jnp.abs(jax.lax.stop_gradient(y0)), initial=0.0)
    size = jnp.where(size > 0.0, jnp.minimum(size, 1.0), 1.0)
    return jnp.maximum(share * size, jnp.finfo(y0.dtype).tiny)


def _leaving(
    value: Callable[[Time, State], Any], start: Time, y0: State, dy: State
) -> Callable[[Time, Any], Any]:
    """The value of an event, but that a zero at the start has the sign with which it
    is left: a ball that is thrown from the ground has not landed.

    **Raises:** `ConfigError` for what is no number, before anything is compiled.
    """
    made = jax.eval_shape(value, start, y0)
    kind = getattr(made, "dtype", None)
    if kind is None or made.shape != () or not jnp.issubdtype(kind, jnp.floating):
        told = "several values" if kind is None else f"{kind}{list(made.shape)}"
        raise ConfigError(
            f"event gives {told}; expected one real number that crosses zero. Return "
            "y[0] - 0.5, say, in place of y[0] < 0.5."
        )
    first, rise = jax.jvp(value, (start, y0), (jnp.ones_like(start), dy))
    first = jnp.where(first == 0.0, rise, first)
    return lambda t, v: jnp.where(t == start, first, v)


def _outcome(
    solution: Any,
    good: Bool[Array, ""],
    starts: Bool[Array, ""],
    t0: Time,
    since: Float[Array, " time"],
    bound: Float[Array, ""] | float | None,
) -> Rollout:
    """Diffrax's solution (states at the samples, last time reached, result) as a
    `Rollout`; what was wrong before the start outranks what happened on the way."""
    import diffrax

    (ys, _), (_, (reached,)) = solution.ys, solution.ts
    result, kinds = solution.result, diffrax.RESULTS
    spent = (result == kinds.max_steps_reached) | (result == kinds.max_steps_rejected)
    keep = jnp.all(jnp.isfinite(ys), axis=1) & good
    status = jnp.where(spent, Status.max_steps_reached, Status.step_too_small)
    status = jnp.where(result == kinds.event_occurred, Status.event, status)
    status = jnp.where(result == kinds.successful, Status.ok, status)
    starts &= (status != Status.ok) | jnp.all(keep)
    status = jnp.where(starts, status, Status.non_finite_state)
    status = jnp.where(good, status, Status.non_finite_input)
    t_fail = jnp.where(status == 0, jnp.inf, jnp.where(good, t0 + reached, t0))
    if bound is not None:
        beyond = jnp.any(jnp.abs(ys) > bound, axis=1) & keep
        first, hit = jnp.argmax(beyond), jnp.any(beyond)
        keep &= ~hit | (jnp.arange(len(since)) < first)
        status = jnp.where(hit, jnp.maximum(status, Status.diverged), status)
        t_fail = jnp.where(hit, t0 + since[first], t_fail)
    ys = jnp.where(keep[:, None], ys, jnp.nan)
    steps = jnp.asarray(solution.stats["num_steps"])
    return Rollout(ys, status.astype(jnp.int8), t_fail, steps)


def _known(which: Any) -> None:
    """**Raises:** `ConfigError` for what is no solver, before anything is traced."""
    import diffrax

    if not isinstance(which, diffrax.AbstractSolver) and which not in SOLVERS:
        raise ConfigError(
            f'solver "{which}" is unknown.{nearest(str(which), SOLVERS)} '
            f"Allowed: {', '.join(SOLVERS)}, or a Diffrax solver."
        )


def solver_of(which: Any, rtol: Any, atol: Any, span: Time) -> tuple[Any, Time | None]:
    """A Diffrax solver by its name here, for a time `span`, or the solver itself; and
    its first step, None where Diffrax finds one.

    Diffrax is not free of the unit of time where a solver is implicit. It compares
    rates, which are what a stage is solved for, with `atol`: in seconds a motion of
    years came out with fewer digits. And a first step far below the span moves the
    state by less than rounding, which its test of convergence takes for divergence.
    """
    import diffrax
    import optimistix

    if isinstance(which, diffrax.AbstractSolver):
        return which, None
    made = getattr(diffrax, SOLVERS[which])
    if not which.startswith("kvaerno"):
        return made(), None
    span = jax.lax.stop_gradient(span)
    finder = diffrax.VeryChord(rtol, atol / span, optimistix.rms_norm)
    return made(root_finder=finder), 1e-3 * span


def _jumps(us: Any, ts: Any) -> bool:
    """Whether coefficients leave a gap between the end of one interval and the start
    of the next; True where that cannot be seen."""
    if us is None or jnp.ndim(us) == 2:
        return False
    if isinstance(us, jax.Array) or isinstance(ts, jax.Array):
        return True
    coefficients, steps = (
        np.asarray(us, np.float64),
        np.diff(np.asarray(ts, np.float64)),
    )
    powers = np.power(steps[:-1, None], np.arange(4.0))
    ends = np.einsum("kp,kpc->kc", powers, coefficients[:-1])
    scale = np.abs(coefficients[:, 0]).max(initial=0.0)
    return bool(np.any(np.abs(ends - coefficients[1:, 0]) > 1e-4 * scale))


def _inputs(
    path: Float[Array, "step 4 ctrl"] | None, since: Float[Array, " time"]
) -> Inputs:
    """u at a time after the first sample: the interval is looked up."""
    if path is None:
        return lambda s: None

    def at(s: Time) -> Control | None:
        k = jnp.searchsorted(since, s, side="right") - 1
        k = jnp.clip(k, 0, path.shape[0] - 1)
        return polynomial(path[k])(s - since[k])

    return at
