"""Starts that jump, or do not fit what holds at the ends: hidden sources of error."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._precision import precision
from ._conditions import Dirichlet, Periodic, Value, evaluate
from ._form import HardForm
from ._problem import Problem


_SMALL = 1e-6  # of the start's size: what counts as a jump
_POINTS = 16  # on each side
_LINES, _LINE = 5, 2048  # along each coordinate, and points on each
_PLACES, _HALVED = 8, 36  # looked at closer, and how often


@dataclasses.dataclass(frozen=True)
class Jump:
    """A misfit of a start at an end.

    `field`, `where`: a coordinate that is periodic, or a side; `order`: 0 of the value,
    1 of the slope; `size`: the largest one; `relative`: to the largest value or slope;
    `at`: inside, between which ends, where on that coordinate.
    """

    field: str
    where: str
    order: int
    size: float
    relative: float
    periodic: bool
    at: float | None = None

    @property
    def text(self) -> str:
        """In words, with the number."""
        what = "slope" if self.order else "value"
        rest = f"({100.0 * self.relative:.2g} % of its largest one)"
        if self.at is not None:
            return (
                f'the {what} of the start of "{self.field}" jumps by {self.size:.3g} '
                f"{rest} at {self.where} = {self.at:.4g}"
            )
        if self.periodic:
            return (
                f'the {what} of the start of "{self.field}" jumps by {self.size:.3g} '
                f"{rest} where {self.where} closes"
            )
        return (
            f'the start of "{self.field}" differs by {self.size:.3g} {rest} from its '
            f'boundary value on "{self.where}"'
        )


def jumps(problem: Problem, form: HardForm | None = None) -> list[Jump]:
    r"""Jumps of value and slope of starts inside, and where periodic coordinates close,
    and differences from boundary values at the first time.

    $$ |h(x_{hi}) - h(x_{lo})|, \quad |h'(x_{hi}) - h'(x_{lo})|, \quad
       |h(x) - u_D(x, t_0)| $$

    Smooth networks keep them for all times, and so solve a problem with a hidden
    source, of which no residual tells: a step has slope 0 on both sides. Inside those
    are looked for of which the equation has a derivative, along some lines. A start
    that is carried by diffusion loses its kink.

    **Arguments:** `form`: of a solution; starts that it carries are left out.
    **Returns:** one `Jump` each; its `text` says it. Nothing for stationary problems.
    """
    if problem.time is None or problem.domain is None:
        return []
    found: list[Jump] = []
    for k, start in problem.initials().items():
        if form is not None and form.fields[k].carry is not None:
            continue
        with precision(np.float64):
            found += _inside(problem, k, start.value)
            found += _ends(problem, k, start.value)
            found += _sides(problem, k, start.value)
    return [jump for jump in found if jump.relative > _SMALL]


def keeps_jumps(problem: Problem, form: HardForm, tol: float) -> bool:
    """Whether a start that is built into the form jumps inside, or in value at an end,
    by more than the tolerance: then the residual and its estimate are those of another
    problem."""
    built = {
        problem.fields[k]
        for k, start in problem.initials().items()
        if problem.starts(start, k)
    }
    return any(
        jump.relative > tol
        and (jump.at is not None or jump.order == 0)
        and jump.field in built
        for jump in jumps(problem, form)
    )


def _inside(problem: Problem, field: int, value: Value) -> list[Jump]:
    """The largest ones along each coordinate."""
    domain = problem.domain
    assert domain is not None
    out = []
    for j, coord in enumerate(domain.coords):
        lo, hi = domain.bounds[j]
        base = domain.nodes(_LINES)[:_LINES] if domain.dim > 1 else np.zeros((1, 1))
        x = np.linspace(lo, hi, _LINE)
        ends = []
        for shift in (0, 1):
            points = np.repeat(base, _LINE - 1, axis=0)
            points[:, j] = np.tile(x[shift : _LINE - 1 + shift], len(base))
            ends.append(points)
        for order in range(min(2, problem.law.order(coord, field))):
            found = _jump(value, ends, j, order, domain.contains(ends[0]))
            if found is not None:
                size, relative, at = found
                name = problem.fields[field]
                out.append(Jump(name, coord, order, size, relative, False, at))
    return out


def _jump(
    value: Value, ends: list[np.ndarray], axis: int, order: int, known: np.ndarray
) -> tuple[float, float, float] | None:
    """The largest jump in cells between `ends`: what stays when they are halved."""
    look = lambda points: _derivatives(value, points, axis, order)
    (a, slope_a), (b, slope_b) = map(look, ends)
    width = ends[1][:, axis] - ends[0][:, axis]
    rough = np.abs(b - a - 0.5 * width * (slope_a + slope_b))
    rough = np.where(known & np.isfinite(rough), rough, 0.0)
    size = float(np.abs(a[known & np.isfinite(a)]).max(initial=1e-300))
    if rough.max() <= _SMALL * size:
        return None
    own = np.argsort(-rough)[:_PLACES]
    left, right = ends[0][own], ends[1][own]
    a, b = a[own], b[own]
    for _ in range(_HALVED):
        middle = 0.5 * (left + right)
        m = look(middle)[0]
        first = (np.abs(m - a) >= np.abs(b - m))[:, None]
        left, right = np.where(first, left, middle), np.where(first, middle, right)
        a, b = np.where(first[:, 0], a, m), np.where(first[:, 0], m, b)
    gap = np.nan_to_num(np.abs(b - a))
    worst = int(gap.argmax())
    return float(gap[worst]), float(gap[worst]) / size, float(left[worst, axis])


def _derivatives(
    value: Value, points: np.ndarray, axis: int, order: int
) -> tuple[np.ndarray, np.ndarray]:
    """A start's derivative of that order along a coordinate, and the next one."""
    at = jnp.asarray(points)
    unit = jnp.zeros_like(at).at[:, axis].set(1.0)
    f = lambda p: evaluate(value, p, "Initial")
    slope = lambda p: jax.jvp(f, (p,), (unit,))[1]
    found, after = jax.jvp(slope if order else f, (at,), (unit,))
    return np.asarray(found), np.asarray(after)


def _ends(problem: Problem, field: int, value: Value) -> list[Jump]:
    """Where periodic coordinates close."""
    domain = problem.domain
    assert domain is not None
    inside = domain.nodes(256)
    out = []
    for j, coord in enumerate(domain.coords):
        agree = _agreeing(problem, field, j)
        if agree == 0:
            continue
        lo, hi = domain.bounds[j]
        left = domain.nodes(_POINTS**domain.dim)
        left[:, j] = lo
        right = left.copy()
        right[:, j] = hi
        sizes = [np.abs(a).max() for a in _derivatives(value, inside, j, 0)]
        pairs = zip(
            _derivatives(value, left, j, 0),
            _derivatives(value, right, j, 0),
            strict=True,
        )
        for order, (a, b) in list(enumerate(pairs))[:agree]:
            gap = float(np.abs(a - b).max())
            size = float(max(sizes[order], 1e-300))
            name = problem.fields[field]
            out.append(Jump(name, coord, order, gap, gap / size, True))
    return out


def _agreeing(problem: Problem, field: int, axis: int) -> int:
    """How many of value and slope have to agree at both ends of a coordinate."""
    domain = problem.domain
    assert domain is not None
    if domain.periodic[axis]:
        return 2
    orders = [
        c.order
        for c in problem.conditions
        if isinstance(c, Periodic)
        and c.axis == domain.coords[axis]
        and problem.field_index(c.field) == field
    ]
    return min(2, max(orders, default=0))


def start_values(
    value: Value, space: Float[np.ndarray, "point space"]
) -> Float[np.ndarray, "point"]:
    """A start at points."""
    with precision(np.float64):
        return np.asarray(evaluate(value, jnp.asarray(space), "Initial"))


def _sides(problem: Problem, field: int, value: Value) -> list[Jump]:
    """Against boundary values."""
    domain = problem.domain
    assert domain is not None
    inside = np.asarray(evaluate(value, jnp.asarray(domain.nodes(256)), "Initial"))
    out = []
    for condition in _dirichlet(problem, field):
        for side in problem.on(condition):
            points, _ = domain.on_side(side, _POINTS)
            start = np.asarray(evaluate(value, jnp.asarray(points), "Initial"))
            at = np.c_[points, np.full(len(points), problem.span()[0])]
            given = np.asarray(evaluate(condition.value, jnp.asarray(at), "Dirichlet"))
            gap = float(np.abs(start - given).max())
            size = max(float(np.abs(inside).max()), float(np.abs(given).max()), 1e-300)
            out.append(Jump(problem.fields[field], side, 0, gap, gap / size, False))
    return out


def _dirichlet(problem: Problem, field: int) -> list[Any]:
    """Boundary values of a field."""
    return [
        c
        for c in problem.conditions
        if isinstance(c, Dirichlet) and problem.field_index(c.field) == field
    ]
