"""How a solution is written so that it meets its conditions for any weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._carry import Carried, carried
from ._conditions import Dirichlet, evaluate
from ._domain import AbstractDomain
from ._lift import lift
from ._problem import Problem


class FieldForm(eqx.Module):
    """One field: its start, its rate of change at the start, and its hard sides."""

    order: int = eqx.field(static=True)
    """How many initial conditions it meets."""
    start: Callable[..., Any] | float | None = eqx.field(static=True)
    """h(x)."""
    rate: Callable[..., Any] | float | None = eqx.field(static=True)
    """u_t at the start."""
    sides: tuple[tuple[str, Any], ...] = eqx.field(static=True)
    """Hard sides, and what the field is there."""
    carry: Carried | None
    """The start carried by diffusion."""


class HardForm(eqx.Module):
    r"""In a window from $t_k$ on, with $s = (t - t_k) / \Delta t$ in [0, 1],

    $$ u = g(x, t) + c_k(x) + (t - t_k)\,v_k(x) + s^q D(x)\,N(x, s) $$

    g meets the initial condition at $t_0$ and the hard boundary conditions at all
    times; D is 0 on the hard sides; q initial conditions hold for any N; $c_k, v_k$ are
    what the windows before have added.
    """

    fields: tuple[FieldForm, ...]
    domain: AbstractDomain | None
    t0: Float[Array, ""]
    has_time: bool = eqx.field(static=True)

    def closed(
        self, points: Float[Array, "point coord"]
    ) -> Float[Array, "point field"]:
        """g at points."""
        return jnp.stack([self._closed(f, points) for f in self.fields], axis=1)

    def mask(self, points: Float[Array, "point coord"]) -> Float[Array, "point field"]:
        """D at points."""
        out = []
        for form in self.fields:
            one = jnp.ones_like(points[:, 0])
            for side, _ in form.sides:
                # 4 d (1 - d) between two ends: at most 1
                assert self.domain is not None  # sides belong to one
                one = one * 2.0 * self.domain.distance(side, self._space(points))
            out.append(one)
        return jnp.stack(out, axis=1)

    @property
    def carry(self) -> Carried | None:
        """The start carried by diffusion, where g is that and nothing else."""
        alone = len(self.fields) == 1 and not self.fields[0].sides
        return self.fields[0].carry if alone and self.fields[0].order == 1 else None

    @property
    def orders(self) -> tuple[int, ...]:
        """q of each field."""
        return tuple(form.order for form in self.fields)

    def _space(self, points: Array) -> Array:
        return points[:, :-1] if self.has_time else points

    def _closed(self, form: FieldForm, points: Array) -> Array:
        space = self._space(points)
        total = jnp.zeros_like(points[:, 0])
        if form.order > 0:
            if form.carry is not None:
                total = total + form.carry(points)
            elif form.start is not None:
                total = total + evaluate(form.start, space, "Initial")
        if form.order > 1 and form.rate is not None:
            elapsed = points[:, -1] - self.t0
            total = total + elapsed * evaluate(form.rate, space, "Initial")
        if form.sides:
            total = total + self._lift(form, points)
            if form.order > 0:
                first = jnp.concatenate(
                    [space, jnp.full_like(points[:, -1:], self.t0)], axis=1
                )
                grown = lambda p: self._lift(form, p)
                unit = jnp.zeros_like(first).at[:, -1].set(1.0)
                value, rate = jax.jvp(grown, (first,), (unit,))
                total = total - value
                if form.order > 1:  # the rate at the start is the one that was given
                    total = total - (points[:, -1] - self.t0) * rate
        return total

    def _lift(self, form: FieldForm, points: Array) -> Array:
        """The boundary's values, continued inwards."""
        assert self.domain is not None  # sides belong to one
        return lift(self.domain, form.sides, points)


def hard_form(problem: Problem, *, carry: bool = True) -> HardForm:
    """The form in which every condition that can be met exactly is, unless it says
    `hard=False`; with `carry` a periodic start decays as its linear part says."""
    t0 = problem.span()[0]
    starts, rates = problem.initials(0), problem.initials(1)
    forms = []
    for k in range(len(problem.fields)):
        start, rate = starts.get(k), rates.get(k)
        held = sum(problem.starts(c, k) for c in (start, rate) if c is not None)
        forms.append(
            FieldForm(
                held,
                start.value if start is not None else None,
                rate.value if rate is not None else None,
                tuple(_hard_sides(problem, k)),
                _carried(problem, start.value) if carry and held and start else None,
            )
        )
    domain = problem.domain
    return HardForm(
        tuple(forms), domain, jnp.asarray(float(t0)), problem.time is not None
    )


def _hard_sides(problem: Problem, field: int) -> list[tuple[str, Any]]:
    """The sides on which a field is given exactly."""
    out = []
    for condition in problem.conditions:
        if not isinstance(condition, Dirichlet):
            continue
        value = condition.value
        value = value if callable(value) else float(value)
        if problem.field_index(condition.field) == field:
            out += [(side, value) for side in problem.held(condition)]
    return out


def _carried(problem: Problem, value: Any) -> Carried | None:
    """The carried start, in one periodic coordinate."""
    domain = problem.domain
    if domain is None or domain.dim != 1 or not domain.periodic[0]:
        return None
    if problem.unknowns:  # rates would depend on what is looked for
        return None
    lo, hi = domain.bounds[0]
    at = lambda x: np.asarray(evaluate(value, jnp.asarray(x)[:, None], "Initial"))
    return carried(problem.law, at, (lo, hi), problem.span(), problem.values({}))
