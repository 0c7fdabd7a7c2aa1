"""Parts `A4`, `landscapes` and `residual_weight` of study `pinns`: networks whose
weights are all trained, by Gauss-Newton in windows; and what the published loss looks
like."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from ..diagnostics import HessianOperator, landscape, top_eigenvalues
from ..solutions import (
    Deadline,
    GaussNewton,
    InWindows,
    Network,
    NetworkConfig,
    Training,
    Whole,
)
from ._claim import Claim
from ._figures import maps
from ._pinns import TALK, Case, left_out, pinns
from ._pinns_curriculum import LONGER_CURRICULUM, in_steps
from ._pinns_failures import talk_network, talk_problem, trained
from ._row import Row
from ._study import Run


_CASES: dict[str, tuple[Case, dict[str, Any], float]] = {
    # problem, settings of the network, seconds
    "convection_beta30": (Case("convection", beta=30.0), {"harmonics": 2}, 120.0),
    "reaction_rho5": (Case("reaction", rho=5.0), {}, 180.0),
    "rd_nu5": (
        Case("reaction_diffusion", nu=5.0, rho=5.0),
        {"harmonics": 2},
        180.0,
    ),
}


def _rows() -> Iterator[Row]:
    for key, (case, _, seconds) in _CASES.items():
        words = ", ".join(f"{k} = {v:g}" for k, v in case.params.items())
        what = f"{case.name.replace('_', '-')} {words}, all weights of 2 layers of 16"
        tried = (
            "Gauss-Newton, ten windows, 384 points, at most 200 iterations in each, "
            "stopped after 20 with little gain."
        )
        yield Row(
            f"pinns.A4.{key}",
            f"Relative L2 error, {what}.",
            target=1e-3,
            tried=tried,
        )
        yield Row(
            f"pinns.A4.{key}_seconds",
            f"Time with compiling, {what}.",
            "s",
            target=seconds,
            tried=tried,
        )


@pinns.part(
    "A4",
    tuple(_rows()),
    full={
        "seeds": 5,
        "steps": 200,
        "patience": 20,
        "points": 384,
        "windows": 0.1,
        "only": [],
    },
    quick={
        "seeds": 1,
        "steps": 10,
        "patience": 20,
        "points": 60,
        "windows": 0.5,
        "only": ["convection_beta30"],
    },
)
def weights(run: Run) -> Iterator[Claim]:
    """Fresh weights in each window, five seeds."""
    s = run.settings
    for key, (case, settings, _) in _CASES.items():
        if s["only"] and key not in s["only"]:
            yield from left_out(run, f"pinns.A4.{key}")
            continue
        found = [
            run.keep(
                f"{key}_{seed}", lambda c=case, o=settings, k=seed: _one(c, o, s, k)
            )
            for seed in range(s["seeds"])
        ]
        pick = lambda name, found=found: [float(one[name]) for one in found]
        yield run.row(f"pinns.A4.{key}").measured(pick("error"))
        yield run.row(f"pinns.A4.{key}_seconds").measured(pick("seconds"))


def _one(
    case: Case, settings: dict[str, Any], s: dict[str, Any], seed: int
) -> dict[str, Any]:
    jax.clear_caches()
    config = NetworkConfig(width=16, depth=2, points=s["points"], seed=seed, **settings)
    optimiser = GaussNewton(steps=s["steps"], patience=s["patience"])
    method = Network(config, optimiser, InWindows(s["windows"]))
    return trained(case.problem(), case, method)


_BETAS = (1, 20, 30, 40)
_SURFACES = (*[f"beta{b}" for b in _BETAS], "beta30_curriculum")
_SEEN = {
    "error": "Relative L2 error at the end point",
    "eigenvalue": "Top Hessian eigenvalue of the loss there",
    "residual": "Residual of that eigenpair",
    "roughness": "Way up and down around it, beyond that of one valley",
}


def _surface_rows(
    part: str, surfaces: Mapping[str, str], source: str = TALK
) -> Iterator[Row]:
    """Rows of surfaces, key -> of what."""
    for key, what in surfaces.items():
        for name, words in _SEEN.items():
            yield Row(
                f"pinns.{part}.{key}_{name}",
                f"{words}, published network on convection, {what}.",
                source=source,
            )


@pinns.part(
    "landscapes",
    tuple(_surface_rows("landscapes", {k: k.replace("_", ", ") for k in _SURFACES})),
    full={
        "width": 50,
        "points": 1000,
        "steps": 15000,
        **LONGER_CURRICULUM,
        "stride": 1,
        "grid": 41,
    },
    quick={
        "width": 6,
        "points": 50,
        "steps": 30,
        **LONGER_CURRICULUM,
        "stride": 29,
        "grid": 5,
    },
)
def landscapes(run: Run) -> Iterator[Claim]:
    """The plane of the two leading eigenvectors, from -0.5 to 0.5."""
    s = run.settings
    titles = {k: k.replace("beta", "beta = ").replace("_", ", ") for k in _SURFACES}
    measure = lambda key, _: _surface(*_of(key, s), s["grid"])
    yield from _shown(run, "landscapes", titles, measure)


def _shown(
    run: Run,
    part: str,
    titles: Mapping[str, str],
    measure: Callable[[str, int], dict[str, Any]],
    seeds: int = 1,
) -> Iterator[Claim]:
    """Rows of surfaces, and a figure with all of them, each from the first seed."""
    panels = {}
    for key, words in titles.items():
        all_found = [
            run.keep(
                key if seeds == 1 else f"{key}_{seed}",
                lambda k=key, i=seed: measure(k, i),
            )
            for seed in range(seeds)
        ]
        for name in _SEEN:
            values = [float(found[name]) for found in all_found]
            yield run.row(f"pinns.{part}.{key}_{name}").measured(values)
        first = all_found[0]
        title = f"{words}\nerror {float(first['error']):.2g}"
        panels[title] = (first["alpha"], np.log10(first["plane"]))
    maps(
        run.figures / f"{part}.svg",
        panels,
        "log10 of the loss",
        ("first eigenvector", "second"),
    )


def _of(key: str, s: dict[str, Any]) -> tuple[Case, Network]:
    """The problem of a surface, and its training."""
    beta = float("".join(c for c in key if c.isdigit()))
    case = Case("convection", beta=beta)
    if key.endswith("curriculum"):
        return case, in_steps(case, s, 0)
    return case, talk_network(s, 0, Whole())


_WEIGHTS = {"L1em4": 1e-4, "L1em2": 1e-2, "L1": 1.0, "L1e2": 1e2}
_HEAVY = {key: f"beta = 30, residual weight {L:g}" for key, L in _WEIGHTS.items()}


@pinns.part(
    "residual_weight",
    tuple(_surface_rows("residual_weight", _HEAVY, "ours")),
    full={"seeds": 3, "width": 50, "points": 1000, "steps": 15000, "grid": 41},
    quick={"seeds": 1, "width": 6, "points": 50, "steps": 30, "grid": 5},
)
def residual_weight(run: Run) -> Iterator[Claim]:
    """The same plane where the residual counts less, and more, beside start and ends.
    The weights are ours: the talk names none."""
    s, case = run.settings, Case("convection", beta=30.0)

    def measure(key: str, seed: int) -> dict[str, Any]:
        plain = talk_network(s, seed, Whole())
        own = (("equation", float(np.sqrt(_WEIGHTS[key]))),)  # of rows, not of squares
        config = dataclasses.replace(plain.config, weights=own)
        return _surface(case, dataclasses.replace(plain, config=config), s["grid"])

    yield from _shown(run, "residual_weight", _HEAVY, measure, s["seeds"])


def _surface(case: Case, method: Network, grid: int) -> dict[str, Any]:
    """One training and its landscape, in float64 around its end point."""
    training = Training(talk_problem(case), method)
    out = training.run(1e-4, Deadline())
    both = (training.theta.net, training.theta, training.goal)
    op = HessianOperator(_loss, both, dtype=np.float64, where=lambda all: all[0])
    top = top_eigenvalues(op, 2, "largest")
    plane = landscape(op, top.vectors, points=grid)
    return {
        "error": case.error_of(out.windows),
        "eigenvalue": top.values[0],
        "residual": top.residuals[0],
        "roughness": plane.roughness(),
        "alpha": plane.alpha,
        "plane": plane.loss,
    }


def _loss(all_three: tuple[Any, Any, Any], _: None) -> Any:
    """The loss with the network's arrays put in."""
    net, theta, goal = all_three
    return goal.loss(type(theta)(net, theta.unknown))
