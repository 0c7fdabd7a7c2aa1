"""Solutions of differential equations that are formulas: their error is known without
a solver."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pendula._precision import precision
from pendula.solutions import Interval, Solution, SolveReport
from pendula.solutions._form import FieldForm, HardForm
from pendula.solutions._parts import Part, Windows


TAU = 2.0 * math.pi
CIRCLE = Interval(0.0, TAU, periodic=True)


class Given(eqx.Module):
    """Values by a formula of the coordinates and a few numbers, with the time that
    belongs to s."""

    formula: object = eqx.field(static=True)
    numbers: jax.Array
    begin: jax.Array
    length: jax.Array

    def __call__(self, points):
        *space, s = points.T
        t = self.begin + self.length * s
        return jnp.stack(self.formula(*space, t, self.numbers), axis=1)


def report(problem, tol=1e-4):
    """What a solver would have said."""
    return SolveReport(
        problem.name, "by hand", True, tol, [], 1, 1, 1, 0.0, 0.0, 0.0, {}, {}
    )


def free_form(problem):
    """A form without any condition."""
    fields = tuple(FieldForm(0, None, None, (), None) for _ in problem.fields)
    t0 = jnp.asarray(float(problem.span()[0]))
    return HardForm(fields, problem.domain, t0, problem.time is not None)


def by_hand(problem, formula, numbers=(0.0,), *, form=None, windows=1, until=None):
    """A solution that is a formula, on equal windows; numbers of all, or of each."""
    t0, t1 = problem.time
    length = ((until or t1) - t0) / windows
    each = np.broadcast_to(np.asarray(numbers), (windows, np.shape(numbers)[-1]))
    with precision(np.float64):
        parts = []
        for k in range(windows):
            begin, own = jnp.asarray(t0 + k * length), jnp.asarray(each[k])
            trial = Given(formula, own, begin, jnp.asarray(length))
            parts.append(Part(trial, begin, jnp.asarray(length)))
        own = Windows(form or free_form(problem), parts, t1)
    return Solution(problem, own, report(problem), {})
