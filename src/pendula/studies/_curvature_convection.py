"""Part `convection` of study `curvature`: what the loss looks like where a network
fails to learn a wave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..diagnostics import HessianOperator, landscape, top_eigenvalues
from ._claim import Claim
from ._convection_pinn import Convection, loss, trained
from ._curvature import curvature
from ._figures import maps
from ._row import Row
from ._study import Run


_P = "curvature.convection"
BETAS = (1, 20, 30, 40)
_PUBLISHED = "Krishnapriyan2021"
_ERRORS = {1: 8e-3, 20: 7.5e-1, 30: 8.97e-1, 40: 9.61e-1}
_SMALL = (
    "2000 iterations of L-BFGS (published: until it stalls, up to 100000), float64 "
    "(published: float32), a few seeds (published: 10)."
)
_BOUND = "; the bound was set after a trial of three seeds"
_TRIED = (
    "Networks of 2-50-50-50-50-1 after 2000 iterations; after 1000 (seed 0) the "
    "eigenvalue was 3405, 8013, 15674, 10794 and roughness 0.014, 0.034, 0.157, 0.118 "
    "for beta = 1, 20, 30, 40. Seeds scatter by more than the step from 30 to 40."
)


def _rows() -> Iterator[Row]:
    about: dict[str, Any] = {"source": _PUBLISHED, "scaled_down": _SMALL}
    for beta in BETAS:
        where = f"u_t + {beta} u_x = 0 (periodic, from sin x), trained PINN"
        yield Row(
            f"{_P}.error_{beta}",
            f"Relative L2 error; {where}.",
            published=_ERRORS[beta],
            **about,
        )
        yield Row(f"{_P}.eigenvalue_{beta}", f"Top Hessian eigenvalue; {where}.")
        yield Row(
            f"{_P}.roughness_{beta}",
            "Way up and down along the lines of the plane of both leading "
            f"eigenvectors, beyond that of one valley; {where}.",
        )
        yield Row(
            f"{_P}.asymmetry_{beta}",
            f"Difference at opposite points of that plane, log10 of loss; {where}.",
        )
        yield Row(f"{_P}.residual_{beta}", "Residual of the leading eigenpair.")
    for name, words in (
        ("eigenvalue", "top Hessian eigenvalue"),
        ("roughness", "roughness of the landscape"),
    ):
        ratio = name == "eigenvalue"
        yield Row(
            f"{_P}.{name}_growth",
            f"Median {words} at beta = 40, {'over' if ratio else 'minus'} that at "
            f"beta = 1{_BOUND}.",
            better="higher",
            target=1.5 if ratio else 0.05,
            tried=_TRIED,
            **about,
        )
        yield Row(
            f"{_P}.{name}_order",
            f"Share of pairs of runs of different beta in which the larger beta has "
            f"the larger {words} (0.5: no relation, 1: always){_BOUND}.",
            better="higher",
            target=0.75,
            tried=_TRIED,
            **about,
        )
        yield Row(
            f"{_P}.{name}_steps",
            f"Of the three steps in beta, how many raise the median {words}.",
            better="higher",
            target=3,
            tried=_TRIED,
            **about,
        )


@curvature.part(
    "convection",
    tuple(_rows()),
    full={"seeds": 5, "width": 50, "steps": 2000, "points": 1000, "grid": 41},
    quick={"seeds": 1, "width": 6, "steps": 50, "points": 50, "grid": 7},
)
def convection(run: Run) -> Iterator[Claim]:
    """Train, then the plane of the two leading eigenvectors at the end point."""
    s = run.settings
    found: dict[int, list[dict[str, np.ndarray]]] = {}
    for beta in BETAS:
        found[beta] = [
            run.keep(f"beta_{beta}_{seed}", lambda b=beta, k=seed: _one(s, b, k))
            for seed in range(s["seeds"])
        ]
        for name in ("error", "eigenvalue", "roughness", "asymmetry", "residual"):
            values = np.array([float(one[name]) for one in found[beta]])
            yield run.row(f"{_P}.{name}_{beta}").measured(values)
    _draw(run.figures / "convection.svg", found)
    for name in ("eigenvalue", "roughness"):
        each = [np.array([float(one[name]) for one in found[b]]) for b in BETAS]
        middle = [float(np.median(values)) for values in each]
        row = lambda what, name=name: run.row(f"{_P}.{name}_{what}")
        ratio = name == "eigenvalue"  # roughness may be 0 at beta = 1
        growth = middle[-1] / middle[0] if ratio else middle[-1] - middle[0]
        yield row("growth").measured(growth)
        yield row("order").measured(_order(each))
        yield row("steps").measured(int(np.sum(np.diff(middle) > 0.0)))


def _order(groups: list[np.ndarray]) -> float:
    """Share of pairs in which the member of the later group is larger; ties half."""
    pairs = [
        float(np.mean((b[:, None] > a) + 0.5 * (b[:, None] == a)))
        for i, a in enumerate(groups)
        for b in groups[i + 1 :]
    ]
    return float(np.mean(pairs))


def _one(s: dict[str, Any], beta: float, seed: int) -> dict[str, Any]:
    """One training and its landscape."""
    problem = Convection.of(beta, s["points"])
    net, value, error = trained(
        problem,
        width=s["width"],
        depth=4,
        steps=s["steps"],
        inner=50,
        key=jax.random.key(seed),
    )
    # the problem counts as frozen parts of the parameters: one program for all beta
    op = HessianOperator(_of_both, (net, problem), where=lambda both: both[0])
    top = top_eigenvalues(op, 2, "largest")
    plane = landscape(op, top.vectors, points=s["grid"])
    return {
        "error": error,
        "loss": value,
        "eigenvalue": top.values[0],
        "residual": top.residuals[0],
        "roughness": plane.roughness(),
        "asymmetry": plane.asymmetry(),
        "alpha": plane.alpha,
        "plane": plane.loss,
    }


def _of_both(both: tuple[Any, Convection], _: None) -> Any:
    """The loss of a network and the problem that it is to solve."""
    return loss(*both)


def _draw(path: Path, found: dict[int, list[dict[str, np.ndarray]]]) -> None:
    """The plane of the run in the middle of each beta's roughness."""
    panels = {}
    for beta, runs in found.items():
        order = np.argsort([float(one["roughness"]) for one in runs])
        one = runs[int(order[len(runs) // 2])]
        title = f"beta = {beta}, error {float(one['error']):.2g}"
        panels[title] = (one["alpha"], np.log10(one["plane"]))
    maps(path, panels, "log10 of the loss", ("first eigenvector", "second"))
