"""Where unknown constants start when nobody said: least squares on estimated rates."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._precision import precision
from .._registry import lookup
from ._config import KnownConfig, ModelConfig
from ._known import STARTS, Law
from ._layout import Layout


POINTS = 2000  # samples that are looked at
REACH = 12.0  # of a positive constant's logarithm around its first value
FLOOR = 1e-3  # of the size at which a term would be all of the acceleration


class Guess(NamedTuple):
    """The start of a constant and its natural size: at that size its term is as
    large as the accelerations seen."""

    start: float
    scale: float


class _Unknown(NamedTuple):
    """A constant to be guessed: place in the configuration, name, sign."""

    term: int
    name: str
    sign: str


def first_guesses(
    config: ModelConfig, plan: Layout, ys: np.ndarray, rates: np.ndarray, us: Any
) -> dict[int, dict[str, Guess]]:
    r"""Starts of the free constants whose value the configuration does not give.

    $$ \min_c \sum_k \rho\Big(a_k - \sum_j \ell_j(q_k, v_k, u_k; c)\Big) $$

    over the samples, one coordinate after the other, what is learned left out
    ($\rho$ linear beyond half the accelerations' size, so that the poor estimates at
    the ends of records count for little). A positive constant stays above a
    thousandth of its natural size.

    **Arguments:** `ys`, `rates` `"traj time dim"` estimated states and rates, NaN
    where unknown; `us` `"traj time ctrl"` or None.
    **Returns:** number of the known term -> name of the constant -> `Guess`.
    """
    unknown = [
        _Unknown(i, name, lookup("known", known.term).constants[name][0])
        for i, known in enumerate(config.known)
        for name in known.free
        if name not in known.constants and name in _constants(known)
    ]
    out: dict[int, dict[str, Guess]] = {}
    for on in range(plan.n):
        terms = [i for i, known in enumerate(config.known) if _place(known, plan) == on]
        here = [u for u in unknown if u.term in terms]
        undriven = us is None and any(config.known[i].term == "input" for i in terms)
        if here and not undriven:  # an input law without input is refused later
            found = _one_coordinate(config, terms, here, on, plan, ys, rates, us)
            for one, guess in zip(here, found, strict=True):
                out.setdefault(one.term, {})[one.name] = guess
    return out


def _constants(known: KnownConfig) -> Mapping[str, Any]:
    law: Law = lookup("known", known.term)
    return law.constants


def _place(known: KnownConfig, plan: Layout) -> int | None:
    """The coordinate that a law acts on; None for a name that is none (it is refused
    when the model is built)."""
    names = [plan.names[p] for p in plan.positions]
    if not known.on:
        return 0
    return names.index(known.on[0]) if known.on[0] in names else None


def _one_coordinate(
    config: ModelConfig,
    terms: list[int],
    unknown: list[_Unknown],
    on: int,
    plan: Layout,
    ys: np.ndarray,
    rates: np.ndarray,
    us: Any,
) -> list[Guess]:
    """Guesses for the laws of one coordinate."""
    from scipy.optimize import least_squares

    q, v, a = ys[..., on], ys[..., plan.n + on], rates[..., plan.n + on]
    seen = np.isfinite(ys).all(-1) & np.isfinite(a)
    if us is not None:
        seen &= np.isfinite(us).all(-1)
    if seen.sum() < 4:
        return [Guess(STARTS.get(one.name, 1.0), 1.0) for one in unknown]
    every = max(1, int(seen.sum()) // POINTS)
    pick = lambda x: x[seen][::every]
    q, v, a = pick(q), pick(v), pick(a)
    sums = _sum_of(config, terms, unknown, q, v, None if us is None else pick(us))
    size = float(np.sqrt(np.mean(a**2))) or 1.0
    first = _alone(sums, unknown, q, a, size)
    start = np.array([guess.start for guess in first])
    positive = np.array([u.sign == "positive" for u in unknown])
    scale = np.array([guess.scale for guess in first])

    def constants(raw: np.ndarray) -> np.ndarray:
        return np.where(
            positive, start * np.exp(np.where(positive, raw, 0.0)), start + scale * raw
        )

    def residual(raw: np.ndarray) -> np.ndarray:
        value = (sums(constants(raw)) - a) / size
        return np.where(np.isfinite(value), value, 1e6)

    reach = np.where(positive, REACH, np.inf)
    done = least_squares(
        residual,
        np.zeros(len(unknown)),
        bounds=(-reach, reach),
        loss="soft_l1",
        f_scale=0.5,
    )
    found = constants(done.x)
    found = np.where(positive, np.maximum(found, FLOOR * scale), found)
    return [Guess(float(c), float(s)) for c, s in zip(found, scale, strict=True)]


def _sum_of(
    config: ModelConfig,
    terms: list[int],
    unknown: list[_Unknown],
    q: np.ndarray,
    v: np.ndarray,
    us: np.ndarray | None,
) -> Callable[[np.ndarray], np.ndarray]:
    """All known accelerations of one coordinate `"sample"` as a function of the
    unknown constants."""

    program = _program(tuple(config.known[i].term for i in terms))

    def values(c: np.ndarray) -> list[dict[str, float]]:
        out = []
        for i in terms:
            known = config.known[i]
            names = _constants(known)
            given = {**dict.fromkeys(names, 1.0), **STARTS, **known.constants}
            mine = {
                one.name: float(x)
                for one, x in zip(unknown, c, strict=True)
                if one.term == i
            }
            out.append({name: mine.get(name, given[name]) for name in names})
        return out

    def sums(c: np.ndarray) -> np.ndarray:
        with precision(np.float64):
            put = jax.tree.map(jnp.asarray, values(c))
            return np.asarray(program(put, q, v, us), np.float64)

    return sums


@functools.lru_cache(maxsize=64)
def _program(laws: tuple[str, ...]) -> Callable[..., Any]:
    """The sum of some laws over samples, compiled once: constants are arguments."""

    def at(values: list[dict[str, Any]], q: Any, v: Any, u: Any) -> Any:
        total = jnp.zeros_like(q)
        for name, c in zip(laws, values, strict=True):
            law: Law = lookup("known", name)
            total = total + law.value(q, v, u, c)
        return total

    return jax.jit(jax.vmap(at, in_axes=(None, 0, 0, 0)))


def _alone(
    sums: Callable[[np.ndarray], np.ndarray],
    unknown: list[_Unknown],
    q: np.ndarray,
    a: np.ndarray,
    size: float,
) -> list[Guess]:
    """Each constant as if its term were the only one: the projection of the
    accelerations on it where the term is linear in it, the mean position for the
    place of rest, the law's usual value for the rest."""
    rest = {"zero": Guess(float(np.mean(q)), float(np.std(q)) or 1.0)}
    usual = [
        rest.get(one.name, Guess(STARTS.get(one.name, 1.0), 1.0)) for one in unknown
    ]
    base = np.array([guess.start for guess in usual])
    out = []
    for k, one in enumerate(unknown):
        none, single, double = (sums(_changed(base, k, x)) for x in (0.0, 1.0, 2.0))
        slope = single - none
        reach = float(np.sqrt(np.mean(slope**2)))
        bend = float(np.max(np.abs(double - single - slope)))
        if not (np.isfinite(bend) and reach > 0 and bend < 1e-6 * reach):
            out.append(usual[k])
            continue
        start, scale = float(slope @ a) / float(slope @ slope), size / reach
        if one.sign == "positive":
            start = max(start, FLOOR * scale)
        out.append(Guess(start, scale))
    return out


def _changed(values: np.ndarray, k: int, value: float) -> np.ndarray:
    out = values.copy()
    out[k] = value
    return out
