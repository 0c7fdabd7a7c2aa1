"""Faults that are put into problems and solvers on purpose, for part `A8` of study
`pinns`: does the diagnosis name them?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

import jax.numpy as jnp
import numpy as np

from ..solutions import (
    Dirichlet,
    Frozen,
    FrozenConfig,
    Initial,
    Interval,
    Method,
    Problem,
    named_problem,
)


_TAU = 2.0 * math.pi


@dataclasses.dataclass(frozen=True)
class Planted:
    """A fault: what is wrong, the codes that name it, and what shows it."""

    name: str
    codes: tuple[str, ...]
    problem: Problem
    method: Method
    tol: float = 1e-4
    budget: float | None = None


def planted(
    seed: int,
    *,
    adam: Method | None = None,
    weighted: Callable[[float], Method] | None = None,
    levenberg: Method | None = None,
) -> list[Planted]:
    """The faults, with parameters drawn by the seed.

    **Arguments:** methods of those that need a training, which are left out without:
    `adam`: the whole domain at once, float32; `weighted`: a network whose start has a
    weight that much larger than its equation (in the loss); `levenberg`:
    Levenberg-Marquardt in float32.
    """
    rng = np.random.default_rng(seed)
    found = list(_frozen(rng))
    beta = float(rng.uniform(38.0, 42.0))
    wave = named_problem("convection", beta=beta)
    if adam is not None:
        codes = ("not_propagated", "under_optimised")
        found.append(Planted("whole_domain", codes, wave, adam))
    ratio = 10.0 ** rng.uniform(5.8, 6.2)
    if weighted is not None:
        codes = ("gradient_conflict", "ill_conditioned")
        slow = named_problem("convection", beta=float(rng.uniform(1.0, 5.0)))
        found.append(Planted("weights", codes, slow, weighted(ratio)))
    rho = float(rng.uniform(2.0, 4.0))
    if levenberg is not None:
        codes = ("precision_floor", "ill_conditioned")
        problem = named_problem("reaction", rho=rho)
        found.append(Planted("float32", codes, problem, levenberg, tol=1e-5))
    return found


def _frozen(rng: np.random.Generator) -> Iterator[Planted]:
    """Those of problems, or of the fast path."""
    few = FrozenConfig(
        nodes=int(rng.integers(8, 13)), times=int(rng.integers(5, 8)), windows=10
    )
    wave = named_problem("convection", beta=float(rng.uniform(15.0, 35.0)))
    yield Planted("few_points", ("overfit_collocation",), wave, Frozen(few))
    diffusion = named_problem(
        "reaction_diffusion", nu=float(rng.uniform(2.0, 6.0)), rho=5.0
    )
    raw = Frozen(FrozenConfig(carry=False, windows=6))
    yield Planted("kink", ("ic_bc_incompatible",), diffusion, raw)
    yield Planted(
        "period",
        ("ic_bc_incompatible",),
        _wrong_period(float(rng.integers(1, 3) + rng.uniform(0.2, 0.8))),
        Frozen(FrozenConfig(windows=6)),
    )
    nu = 0.01 / math.pi / 100.0 * float(2.0 ** rng.uniform(-1.0, 1.0))
    layer = Frozen(FrozenConfig(windows=10))
    yield Planted("layer", ("sharp_layer",), named_problem("burgers", nu=nu), layer)
    # Up to 1 two solutions from starts 1e-8 apart stay within a thousandth.
    chaos = named_problem("ks_chaotic", end=float(rng.uniform(1.8, 2.4)))
    coarse = Frozen(FrozenConfig(windows=2, features=100, nodes=48, times=8))
    yield Planted("chaos", ("chaos_horizon",), chaos, coarse)
    yield Planted(
        "boundary",
        ("ic_bc_incompatible",),
        _misfit(float(rng.choice([-1.0, 1.0]) * rng.uniform(0.1, 0.5))),
        Frozen(),
    )
    # more levels would find the neurons that are kept from it
    short = Frozen(FrozenConfig(features=150, nodes=300), levels=2)
    waves = _short_waves(int(rng.integers(150, 251)))
    yield Planted("short_waves", ("bandwidth",), waves, short)


def clean() -> list[tuple[str, Problem]]:
    """Problems without a fault, which the fast path solves."""
    return [
        *[
            (f"convection_beta{b}", named_problem("convection", beta=float(b)))
            for b in (1, 10, 30, 40)
        ],
        *[
            (f"reaction_rho{r}", named_problem("reaction", rho=float(r)))
            for r in (2, 5, 8)
        ],
        *[
            (f"rd_nu{n}", named_problem("reaction_diffusion", nu=float(n)))
            for n in (2, 4, 5)
        ],
    ]


def _wrong_period(waves: float) -> Problem:
    """A wave whose start does not close."""
    return named_problem("convection", beta=5.0).replace(
        conditions=[Initial(lambda x: jnp.sin(waves * x))], name="wrong_period"
    )


def _misfit(value: float) -> Problem:
    """Heat in a rod whose end is held at another temperature than it starts with."""
    return Problem(
        lambda u, x, t, p: u.t - p.nu * u.xx,
        domain=Interval(0.0, 1.0),
        time=(0.0, 1.0),
        conditions=[
            Initial(lambda x: jnp.sin(jnp.pi * x)),
            Dirichlet(value, on="x-"),
            Dirichlet(0.0, on="x+"),
        ],
        params={"nu": 0.1},
        name="misfit",
    )


def _short_waves(waves: int) -> Problem:
    """Poisson's equation with a source of short waves."""
    k = float(waves)
    return Problem(
        lambda u, x, p: u.xx + k * k * jnp.sin(k * x),
        domain=Interval(0.0, _TAU),
        conditions=[Dirichlet(0.0)],
        name="short_waves",
    )
