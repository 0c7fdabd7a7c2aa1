"""Part `kpp` of study `families`: a field on a line, its diffusion known, its reaction
learned; another start and another boundary than in training."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data import Trajectories
from ._claim import Claim
from ._families import affine_r2, families
from ._row import Row
from ._study import Run


NODES = 21
SPACING = 1.0 / (NODES - 1)  # m
DIFFUSIVITY = 1e-4  # m2/s
DURATION, SAMPLES = 100.0, 101
RATES = (0.01, 0.02, 0.03, 0.04, 0.05)  # r [1/s] of the training systems
UNSEEN = 0.034
STARTS = 3  # records of each training system

_A = "families.A.kpp"
_TRIED = (
    "Known diffusion, one small network shared by all nodes, affine in eta, "
    "Gauss-Newton on weights and etas with growing horizon; adaptation by "
    "Levenberg-Marquardt on one record. Adam on the same loss (mode joint) took 1.5 "
    "times as long and left errors ten times as large (one seed)."
)
_ROWS = (
    Row(
        f"{_A}_l2",
        "KPP, r = 0.034 unseen, adapted on one record: relative L2 error over 21 nodes "
        "and 100 s from new starts, no flux as in training; the largest of 5 starts.",
        target=0.02,
        goal=0.005,
        tried=_TRIED,
    ),
    Row(
        f"{_A}_dirichlet",
        "The same with both ends held at u = 1, a boundary that training never saw.",
        target=0.03,
        goal=0.005,
        tried=_TRIED,
    ),
    Row(
        f"{_A}_reaction",
        "The learned reaction of r = 0.034 on [0, 1] against r u (1 - u): relative L2.",
        target=0.05,
        goal=0.005,
        tried=_TRIED,
    ),
    Row(
        f"{_A}_reaction_max",
        "The same: largest difference over the largest reaction.",
    ),
    Row(
        "families.upper.kpp",
        "New starts, no flux, as the first row, but the same network trained with the "
        "true r as its input instead of eta: an upper bound.",
    ),
    Row(
        f"{_A}_train_seconds",
        "Training, processor time; the slowest of the seeds compiles the programs.",
        "s",
    ),
    Row(
        "families.D.kpp_gauge",
        "r of the unseen system by the gauge of the training systems: relative error.",
    ),
    Row(
        "families.constellation.kpp",
        "R^2 of the affine map from eta to r on the training systems.",
        better="higher",
    ),
    Row(
        "families.C.kpp_pca",
        "Trained again with d_eta = 2: components of eta that hold 99 % of its "
        "variance (the family has 1).",
        better="equal",
    ),
    Row(
        "families.C.kpp_sensitive",
        "The same, weighted by the sensitivity of the trajectories.",
        better="equal",
    ),
)
_FULL: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "predicted": 5,
    "model": {"width": 8, "depth": 2},
    "family": {"head": "affine"},
}
_QUICK: dict[str, Any] = copy.deepcopy(_FULL) | {"seeds": [0], "predicted": 1}
_QUICK["family"] |= {"steps": 2, "horizon": 2.0}


@families.part("kpp", _ROWS, full=_FULL, quick=_QUICK)
def kpp(run: Run) -> Iterator[Claim]:
    """Every seed, then the rows."""
    found = [
        run.keep(f"seed_{seed}", lambda seed=seed: measured(run.settings, seed))
        for seed in run.settings["seeds"]
    ]
    for row in _ROWS:
        key = row.id.split(".", 1)[1]
        yield run.row(row.id).measured([float(f[key]) for f in found])


def motion(
    rate: float, start: np.ndarray, *, held: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Times `"time"` and densities `"time node"` of one exact run of the 21 nodes: no
    flux through the ends, or both held."""
    from scipy.integrate import solve_ivp

    def slope(t: float, u: np.ndarray) -> np.ndarray:
        wide = np.concatenate([u[1:2], u, u[-2:-1]])  # mirrored nodes
        spread = wide[:-2] - 2.0 * u + wide[2:]
        out = DIFFUSIVITY / SPACING**2 * spread + rate * u * (1.0 - u)
        if held:
            out[[0, -1]] = 0.0
        return out

    ts = np.linspace(0.0, DURATION, SAMPLES)
    out = solve_ivp(
        slope,
        (0.0, DURATION),
        start,
        t_eval=ts,
        rtol=1e-10,
        atol=1e-12,
        method="DOP853",
    )
    return ts, out.y.T


def bumps(rng: np.random.Generator) -> np.ndarray:
    """A start `"node"` within [0, 1]: one to three smooth bumps on a low ground."""
    x = np.linspace(0.0, 1.0, NODES)
    u = np.full(NODES, rng.uniform(0.02, 0.1))
    for _ in range(rng.integers(1, 4)):
        place, width = rng.uniform(0.0, 1.0), rng.uniform(0.06, 0.2)
        u = u + rng.uniform(0.2, 0.7) * np.exp(-0.5 * ((x - place) / width) ** 2)
    return u / max(1.0, float(u.max()))


def records(rates: Any, each: int, rng: np.random.Generator) -> Trajectories:
    """`each` records of every system from random starts, labels left out."""
    runs = [motion(rate, bumps(rng)) for rate in rates for _ in range(each)]
    data = Trajectories.from_arrays(
        [ts for ts, _ in runs],
        [ys for _, ys in runs],
        names=tuple(f"u{i + 1}" for i in range(NODES)),
        units=("1",) * NODES,
        origin={"system": "kpp"},
    )
    return data.replace(env=np.repeat(np.arange(len(rates)), each))


def trained(
    settings: dict[str, Any], seed: int, size: int, known: np.ndarray | None = None
) -> Any:
    """The family of the five training systems; with `known` these are its etas."""
    from ..dynamics import FamilyConfig, KnownConfig, ModelConfig, meta_fit

    spread = KnownConfig("diffusion", constants={"d": DIFFUSIVITY, "dx": SPACING})
    model = ModelConfig(learn="reaction", known=(spread,), **settings["model"])
    data = records(RATES, STARTS, np.random.default_rng([seed, 1]))
    config = FamilyConfig(model, size=size, seed=seed, **settings["family"])
    return meta_fit(data, config, etas=known)


def reaction(family: Any, eta: Any, us: np.ndarray) -> np.ndarray:
    """The learned reaction of a member at densities `us`."""
    import jax
    import jax.numpy as jnp

    from .._precision import precision
    from ..dynamics import Reaction, terms_of

    with precision(family.dtype):
        field = jax.tree.map(jnp.asarray, family.at(eta)).field
        (term,) = (t for t in terms_of(field) if isinstance(t, Reaction))
        return np.asarray(term(0.0, jnp.asarray(us, family.dtype), None, None))


def worst(family: Any, eta: Any, starts: list[np.ndarray], *, held: bool) -> float:
    """The largest relative L2 error of the unseen system over some starts."""
    errors = []
    for start in starts:
        ts, truth = motion(UNSEEN, start, held=held)
        got = family.predict(eta, start, ts)
        errors.append(float(np.linalg.norm(got - truth) / np.linalg.norm(truth)))
    return float(np.max(np.nan_to_num(errors, nan=np.inf)))


def measured(settings: dict[str, Any], seed: int) -> dict[str, float]:
    """Train once with one eta and once with two; what the first says of the unseen
    system."""
    from ..diagnostics import principal_dimension, sensitive_dimension
    from ..dynamics import fit_gauge

    began = time.process_time()
    family = trained(settings, seed, 1)
    seconds = time.process_time() - began
    rng = np.random.default_rng([seed, 2])
    new = family.adapt(records([UNSEEN], 1, rng))
    starts = [bumps(rng) for _ in range(settings["predicted"])]
    at_one = [np.concatenate([[1.0], u[1:-1], [1.0]]) for u in starts]
    us = np.linspace(0.0, 1.0, 101)
    truth = UNSEEN * us * (1.0 - us)
    off = reaction(family, new.eta, us) - truth
    rates = np.array(RATES)[:, None]
    gauge = fit_gauge(family.etas, rates, ("r",), log=False, seed=seed)
    scaled = lambda r: (np.asarray(r) - rates.mean()) / rates.std()
    told = trained(settings, seed, 1, scaled(rates))
    wide = trained(settings, seed, 2)
    held = family.with_boundary("dirichlet")
    return {
        "A.kpp_l2": worst(family, new.eta, starts, held=False),
        "A.kpp_dirichlet": worst(held, new.eta, at_one, held=True),
        "A.kpp_reaction": float(np.linalg.norm(off) / np.linalg.norm(truth)),
        "A.kpp_reaction_max": float(np.abs(off).max() / truth.max()),
        "upper.kpp": worst(told, scaled([UNSEEN]), starts, held=False),
        "A.kpp_train_seconds": seconds,
        "D.kpp_gauge": abs(float(gauge(new.eta)[0]) / UNSEEN - 1.0),
        "constellation.kpp": float(affine_r2(family.etas, rates).min()),
        "C.kpp_pca": principal_dimension(wide.etas).estimate,
        "C.kpp_sensitive": sensitive_dimension(wide.etas, wide.fisher).estimate,
    }
