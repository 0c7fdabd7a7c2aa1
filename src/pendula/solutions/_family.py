"""One problem's solutions at many sets of parameters."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from .._errors import ConfigError
from .._precision import precision
from ._derivatives import Orders, derivatives, orders_of
from ._family_march import Carry, after, with_rates
from ._features import Combination, TanhFeatures
from ._form import HardForm
from ._layout import grown_features
from ._parts import Part, Windows
from ._problem import Problem
from ._reach import Outside, look
from ._solution import Solution


@dataclasses.dataclass
class Found:
    """What is known of each set so far."""

    check: np.ndarray
    train: np.ndarray
    estimate: np.ndarray
    converged: np.ndarray
    steps: np.ndarray
    alone: dict[int, Solution]


@dataclasses.dataclass(frozen=True)
class Group:
    """Sets that were solved with the same windows and neurons."""

    members: np.ndarray
    edges: np.ndarray
    weights: np.ndarray
    """`"member window field feature"`."""
    features: TanhFeatures


class FamilySolution:
    """Solutions of one problem at many sets of parameters.

    `family(x, t)` gives `"set ..."`, `family.d("x")(x, t)` a derivative, both with
    `outside` as for `Solution`; `family.member(k)` one set's parts; `params` the sets,
    `check` each one's residual between the collocation points, relative to its solution
    and added up over the windows, `estimate` each one's estimated relative error (NaN
    where none was asked for, or the residual was too large), `converged` whether both
    are small enough, `alone` the indices of those that `solve` solved one by one
    because they were not, `seconds_compile`, `seconds_run` the cost.
    """

    def __init__(
        self,
        problem: Problem,
        params: dict[str, np.ndarray],
        form: HardForm,
        rates: np.ndarray | None,
        groups: Sequence[Group],
        found: Found,
        seconds: tuple[float, float],
    ) -> None:
        self.problem, self.params = problem, params
        self.check, self.train, self.estimate = found.check, found.train, found.estimate
        self.converged, self.steps = found.converged, found.steps
        self.alone = tuple(sorted(found.alone))
        self.seconds_compile, self.seconds_run = seconds
        self._solutions = found.alone
        self._form, self._rates, self.groups = form, rates, tuple(groups)

    def __len__(self) -> int:
        """How many sets there are."""
        return len(self.check)

    @property
    def windows(self) -> tuple[np.ndarray, ...]:
        """Where windows begin and end, of each group."""
        return tuple(group.edges for group in self.groups)

    def __call__(self, *at: ArrayLike, outside: Outside = "raise") -> Any:
        """Values at coordinates that broadcast against each other, `"set ..."`; a
        dictionary by field where there are several."""
        return self._look((0,) * len(self.problem.coords), at, outside)

    def d(self, name: str) -> Callable[..., Any]:
        """A derivative by name, as a function of the coordinates."""
        orders = orders_of(name, self.problem.coords)

        def derivative(*at: ArrayLike, outside: Outside = "raise") -> Any:
            return self._look(orders, at, outside)

        return derivative

    def member(self, index: int) -> Windows:
        """The parts of one set."""
        if not 0 <= index < len(self):
            raise ConfigError(f"set {index} of {len(self)}: there is none.")
        if index in self._solutions:
            return self._solutions[index].windows
        end = self.problem.span()[1]
        with precision(np.float64):
            rate = None if self._rates is None else jnp.asarray(self._rates[index])
            form = with_rates(self._form, rate)
            for group in self.groups:
                own = np.flatnonzero(group.members == index)
                if own.size:
                    return Windows(form, _parts(group, int(own[0])), end)
        return Windows(form, [], end)

    def _look(self, orders: Orders, at: Sequence[ArrayLike], outside: Outside) -> Any:
        values = lambda points: self._values(orders, points)
        end = self.problem.span()[1]
        return look(values, at, self.problem, end, outside, "family")

    def _values(
        self, orders: Orders, points: Float[np.ndarray, "point coord"]
    ) -> Float[np.ndarray, "set point field"]:
        """One derivative of all sets."""
        out = np.full((len(self), len(points), len(self.problem.fields)), np.nan)
        for group in self.groups:
            rates = None if self._rates is None else self._rates[group.members]
            own = values_of(group, self._form, rates, points, orders)
            out[group.members] = own
        for index, solution in self._solutions.items():
            out[index] = solution.values(points, [orders])[orders]
        return out


def values_of(
    group: Group,
    form: HardForm,
    rates: np.ndarray | None,
    points: Float[np.ndarray, "point coord"],
    orders: Orders,
) -> Float[np.ndarray, "member point field"]:
    """One derivative of all members; `rates`: theirs."""
    with precision(np.float64):
        told = None if rates is None else jnp.asarray(rates)
        closed = np.asarray(_closed(form, told, jnp.asarray(points), orders))
        return closed + _grown(group, form, points, orders)


def _parts(group: Group, row: int) -> list[Part]:
    """One set's windows."""
    out = []
    for k, (a, b) in enumerate(itertools.pairwise(group.edges)):
        weights = jnp.asarray(group.weights[row, k].T)
        trial = Combination(group.features, weights)
        out.append(Part(trial, jnp.asarray(a), jnp.asarray(b - a)))
    return out


@eqx.filter_jit
def _closed(
    form: HardForm, rates: Array | None, points: Array, orders: Orders
) -> Array:
    """g of all sets, `"set point field"`; without rates `"point field"`."""

    def one(rate: Array | None) -> Array:
        own = with_rates(form, rate)
        return derivatives(own.closed, points, [orders])[orders]

    return one(None) if rates is None else jax.lax.map(one, rates)


def _features(
    features: TanhFeatures, form: HardForm, points: np.ndarray, orders: Orders
) -> np.ndarray:
    """Features with mask and start, `"field point feature"`, at points in s."""
    at, num = jnp.asarray(points), range(len(form.fields))
    found = [grown_features(features, form, f, at, (orders,))[orders] for f in num]
    return np.stack([np.asarray(phi) for phi in found])


def _grown(
    group: Group, form: HardForm, points: np.ndarray, orders: Orders
) -> np.ndarray:
    """What the windows add, `"member point field"`."""
    w = group.weights
    if not form.has_time:
        phi = _features(group.features, form, points, orders)
        return np.einsum("fpm,smf->spf", phi, np.moveaxis(w[:, 0], 2, 1))
    out = np.zeros((len(w), len(points), len(form.fields)))
    edges = group.edges
    which = np.searchsorted(edges[1:-1], points[:, -1], side="left")
    space, back = np.unique(points[:, :-1], axis=0, return_inverse=True)
    end = np.c_[space, np.ones(len(space))]
    spatial = (*orders[:-1], 0)
    look = lambda p, o: _features(group.features, form, p, o)
    value = look(end, spatial)
    rate = look(end, (*orders[:-1], 1)) if max(form.orders) > 1 else None
    none: Any = np.zeros_like(w[:, 0])
    carry = Carry(none, none, none)
    for k in range(len(edges) - 1):
        length = edges[k + 1] - edges[k]
        own = np.flatnonzero(which == k)
        if own.size:
            local = points[own].copy()
            local[:, -1] = (local[:, -1] - edges[k]) / length
            at = back.ravel()[own]
            phi = look(local, orders) * length ** -orders[-1]
            for f, q in enumerate(form.orders):
                new = w[:, k, f] @ phi[f].T
                if q > 0 and orders[-1] == 0:
                    new = new + (carry.a[:, f] @ value[f].T)[:, at]
                if q > 1 and rate is not None and orders[-1] < 2:
                    c, v = carry.b[:, f] @ rate[f].T, carry.d[:, f] @ rate[f].T
                    since = (points[own, -1] - edges[k])[None, :]
                    new = new + (
                        v[:, at] if orders[-1] else c[:, at] + since * v[:, at]
                    )
                out[:, own, f] = new
        carry = after(carry, w[:, k], length, form.orders)
    return out
