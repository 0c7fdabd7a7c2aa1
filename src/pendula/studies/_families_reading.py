"""Part `reading` of study `families`: what is read of a new bistable oscillator from
one record, from one second of it, and from noise."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data import Trajectories
from ._claim import Claim
from ._families import BISTABLE, STEP, barrier_distance, e5, families, fitted_family
from ._families_motion import BISTABLE_CONFIG
from ._row import Row
from ._study import Run


_TRIED = (
    "Gauss-Newton on weights and etas, affine head; adaptation by Levenberg-Marquardt "
    "with free start states where there is noise, prior of the training etas."
)
_A, _D, _E = "families.A.bistable", "families.D.bistable", "families.E.bistable"


def _within(
    name: str, statement: str, low: float, high: float, tried: str = _TRIED
) -> Row:
    return Row(name, statement, better="within", target=(low, high), tried=tried)


_ROWS = (
    Row(
        f"{_A}_energy_curve",
        "Potential on [-0.8, 0.8] without its mean, of a new system from one 10 s "
        "record: relative L2 error, median over systems.",
        target=0.03,
        goal=0.01,
        tried=_TRIED,
    ),
    Row(
        f"{_A}_energy_clip",
        "The same from ONE second within one well.",
        target=0.1,
        goal=0.03,
        tried=_TRIED,
    ),
    Row(
        f"{_A}_two_wells",
        "Share of these whose potential has both wells.",
        better="higher",
        target=0.95,
        tried=_TRIED,
    ),
    Row(
        f"{_E}_gauge_ratio",
        "Gauge error with 2 % noise and a random half of the samples, over the clean "
        "one; worst of the parameters.",
        target=3.0,
        tried="The ratio was 1.55 while a poorer law was the most of the clean error. "
        "Of k1, in which law and gauge are linear, next to nothing is left of that "
        "one, and the noisy one is what the noise allows (Laplace intervals cover "
        "it); of k3, read by its logarithm, the errors below are alike.",
    ),
    Row(f"{_E}_gauge_clean", "Mean absolute relative error of the gauge, clean."),
    Row(f"{_E}_gauge_noisy", "The same with 2 % noise and half of the samples."),
    Row(
        f"{_E}_e5_ratio",
        "E5 with 2 % noise and half of the samples, over 2 x clean + 2 %, medians.",
        target=1.0,
        tried=_TRIED,
    ),
    Row(
        f"{_E}_finite",
        "Share of systems with finite forecasts at 10 % noise.",
        better="higher",
        target=1.0,
        tried=_TRIED,
    ),
    Row(
        f"{_E}_wider",
        "Width of the gauge's intervals at 10 % noise over that at 2 %, median.",
        better="higher",
        target=1.0,
        tried=_TRIED,
    ),
    _within(
        f"{_D}_conformal",
        "Coverage of conformal 90 % intervals, clean; the gauge calibrated on one "
        "record of each training system, measured as new ones are, on parameters as "
        "they are, in which the law is linear.",
        0.8,
        0.98,
        "On the etas of the training and log k3 (the gauge's defaults) the systems at "
        "the corners of the grid, left out, are harder than any inside, and coverage "
        "was 0.998; parameters as they are alone gave 0.89, 0.995 and 0.99 on three "
        "seeds.",
    ),
    _within(f"{_D}_laplace", "Coverage of Laplace 90 % at 5 % noise.", 0.8, 0.97),
)
_FULL: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "unseen": 50,
    "covered": 200,
    "config": BISTABLE_CONFIG,
}
_QUICK: dict[str, Any] = copy.deepcopy(_FULL)
_QUICK |= {"seeds": [0], "unseen": 2, "covered": 2}
_QUICK["config"] |= {"steps": 2, "every": 10}


@families.part("reading", _ROWS, full=_FULL, quick=_QUICK)
def reading(run: Run) -> Iterator[Claim]:
    """Every seed, then the rows."""
    found = [
        run.keep(f"seed_{seed}", lambda seed=seed: measured(run.settings, seed))
        for seed in run.settings["seeds"]
    ]
    for row in _ROWS:
        key = row.id.rsplit("bistable_", 1)[1]
        yield run.row(row.id).measured([float(f[key]) for f in found])


def energy_of(field: Any, us: np.ndarray, dtype: Any) -> np.ndarray:
    """The learned potential of one system at `us`."""
    import jax
    import jax.numpy as jnp

    from .._precision import precision
    from ..dynamics import energy

    with precision(dtype):
        field = jax.tree.map(jnp.asarray, field)
        at = lambda u: energy(field, jnp.stack([u, jnp.zeros_like(u)]))
        return np.asarray(jax.vmap(at)(jnp.asarray(us, dtype)))


def shape_error(got: np.ndarray, us: np.ndarray, params: Any) -> tuple[float, bool]:
    """Relative L2 error of a potential on a symmetric grid `us` without its mean, and
    whether it has two wells."""
    truth = 0.5 * params[0] * us**2 + 0.25 * params[1] * us**4
    truth, got = truth - truth.mean(), got - got.mean()
    low = lambda half: 0 < int(np.argmin(half)) < len(half) - 1
    middle = len(us) // 2
    wells = low(got[: middle + 1]) and low(got[middle:])
    return float(np.linalg.norm(got - truth) / np.linalg.norm(truth)), wells


def curve_error(family: Any, eta: Any, params: Any) -> tuple[float, bool]:
    """`shape_error` of a member on [-0.8, 0.8]."""
    us = np.linspace(-0.8, 0.8, 161)
    return shape_error(energy_of(family.at(eta).field, us, family.dtype), us, params)


def well_start(params: Any, rng: np.random.Generator) -> np.ndarray:
    """At rest within one well, off its bottom."""
    bottom = np.sqrt(-params[0] / params[1])
    share = rng.choice([rng.uniform(0.4, 0.8), rng.uniform(1.15, 1.35)])
    return np.array([rng.choice([-1.0, 1.0]) * share * bottom, 0.0])


def clips_of(systems: list[Any], rng: np.random.Generator) -> Trajectories:
    """One second within one well of each system."""
    runs = [BISTABLE.motion(p, well_start(p, rng), 100 * STEP) for p in systems]
    data = Trajectories.from_arrays(
        [ts for ts, _ in runs],
        [ys for _, ys in runs],
        names=("u", "v"),
        units=("1", "1/s"),
        origin={"system": BISTABLE.name},
    )
    return data.replace(env=np.arange(len(systems)))


def times(wide: np.ndarray, narrow: np.ndarray) -> np.ndarray:
    """How many times wider; 1 where the narrow one is without bounds already."""
    bounded = np.isfinite(narrow)
    return np.where(bounded, wide / np.where(bounded, narrow, 1.0), 1.0)


def measured(settings: dict[str, Any], seed: int) -> dict[str, float]:
    """Train once; read new systems from clean, short and noisy records."""
    from ..dynamics import fit_gauge

    family = fitted_family(BISTABLE, settings["config"], seed)
    gauge = fit_gauge(
        family.etas,
        np.array(BISTABLE.params),
        BISTABLE.param_names,
        log=(False, True),
        seed=seed,
    )
    rng = np.random.default_rng([seed, 3])
    new = BISTABLE.unseen(settings["unseen"], rng)
    records = BISTABLE.records_of(new, 1, rng)
    clean = family.adapt_many(records)
    short = family.adapt_many(clips_of(new, rng))
    curves = [curve_error(family, a.eta, p) for a, p in zip(clean, new, strict=True)]
    clips = [curve_error(family, a.eta, p) for a, p in zip(short, new, strict=True)]
    noisy = {
        level: family.adapt_many(records.add_noise(seed, level).drop_samples(seed, 0.5))
        for level in (0.02, 0.1)
    }
    truth = np.array(new)

    def read(adapted: Any) -> Any:
        return [gauge.measure(a.eta, a.covariance) for a in adapted]

    def off(adapted: Any) -> np.ndarray:
        values = np.array([m.value for m in read(adapted)])
        return (np.abs(values - truth) / np.abs(truth)).mean(0)

    def width(adapted: Any) -> np.ndarray:
        return np.array([m.high - m.low for m in read(adapted)])

    starts = []
    for p in new:
        start = BISTABLE.start(rng)
        while barrier_distance(p, start) < 0.02:
            start = BISTABLE.start(rng)
        starts.append(start)

    def e5s(adapted: Any) -> np.ndarray:
        return np.array(
            [
                e5(BISTABLE, family, a.eta, p, s)
                for a, p, s in zip(adapted, new, starts, strict=True)
            ]
        )

    # a conformal interval counts on systems that were all measured in the same way
    again = np.random.default_rng([seed, 5])
    same = family.adapt_many(BISTABLE.records_of(BISTABLE.params, 1, again))
    exchangeable = fit_gauge(
        np.array([a.eta for a in same]),
        np.array(BISTABLE.params),
        BISTABLE.param_names,
        covariances=np.array([a.covariance for a in same]),
        log=False,
        seed=seed,
    )
    many = BISTABLE.unseen(settings["covered"], rng)
    wide = BISTABLE.records_of(many, 1, rng)

    def covered(adapted: Any, interval: str) -> float:
        used = exchangeable if interval == "conformal" else gauge
        found = [used.measure(a.eta, a.covariance, interval=interval) for a in adapted]
        inside = [
            (m.low <= np.array(p)) & (np.array(p) <= m.high)
            for m, p in zip(found, many, strict=True)
        ]
        return float(np.mean(inside))

    return {
        "energy_curve": float(np.median([c[0] for c in curves])),
        "energy_clip": float(np.median([c[0] for c in clips])),
        "two_wells": float(np.mean([c[1] for c in clips])),
        "gauge_clean": float(np.max(off(clean))),
        "gauge_noisy": float(np.max(off(noisy[0.02]))),
        "gauge_ratio": float(np.max(times(off(noisy[0.02]), off(clean)))),
        "e5_ratio": float(
            np.median(e5s(noisy[0.02])) / (2.0 * np.median(e5s(clean)) + 0.02)
        ),
        "finite": float(np.mean(np.isfinite(e5s(noisy[0.1])))),
        "wider": float(np.median(times(width(noisy[0.1]), width(noisy[0.02])))),
        "conformal": covered(family.adapt_many(wide), "conformal"),
        "laplace": covered(family.adapt_many(wide.add_noise(seed, 0.05)), "laplace"),
    }
