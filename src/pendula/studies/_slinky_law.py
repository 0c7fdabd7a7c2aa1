"""Part `law` of study `slinky`: bending that is not linear, learned from one motion."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..systems import (
    BendingFit,
    BendingLaw,
    Boundary,
    ElasticRod,
    RodState,
    Section,
    fit_bending,
    simulate_rod,
)
from ._claim import Claim
from ._figures import COLOURS, figure
from ._row import Row
from ._slinky import slinky
from ._study import Run


STIFFENING = 9.26e-5  # m^2, b of EI kappa^2 (1 + b kappa^2)/2: 3 EI at 60 1/m
FINE = 801  # knots of the truth
LENGTH = 0.1  # m
STEP, EVERY = 2e-3, 5
DRAG = 0.012
SMOOTH = 1e-3  # m
_WHAT = (
    "Rod of bending energy EI kappa^2 (1 + b kappa^2)/2, three times as stiff at 60 "
    "per m, let go from straight and clamped at one end, 0.3 s every 10 ms with 0.2 mm "
    "noise"
)
_TRIED = (
    "Eight knots by Levenberg-Marquardt through the implicit steps, from a linear law. "
    "A kink that costs 0.1 mm instead of 1 mm leaves knots that hardly any element "
    "visits to the noise: 0.7 over all knots, beyond what was visited."
)


def _row(key: str, statement: str, **more: Any) -> Row:
    tried = {"tried": _TRIED} if "target" in more else {}
    return Row(f"slinky.law.{key}", statement, **tried, **more)


_ROWS = (
    _row(
        "error",
        f"{_WHAT}: relative error of the moment over the curvatures visited.",
        target=0.05,
    ),
    _row("error_linear", "The same of the linear law with the true EI at rest."),
    _row("residual", "Residual of the fit.", unit="m"),
    _row("visited", "Largest curvature of the motion.", unit="1/m", better="higher"),
    _row(
        "longer",
        "The law in a rod of 1.5 times the length: mean distance of the nodes over the "
        "mean way they go.",
        target=0.05,
    ),
    _row("longer_linear", "The same by the linear law."),
    _row(
        "held",
        "The law in a half circle of the rod's length that hangs between two clamps: "
        "mean distance over mean way.",
        target=0.05,
    ),
    _row("held_linear", "The same by the linear law."),
)
_FULL: dict[str, Any] = {
    "nodes": 24,
    "seconds": 0.3,
    "noise": 2e-4,
    "knots": 8,
    "seeds": 3,
}
_QUICK = {"nodes": 8, "seconds": 0.06, "noise": 1e-5, "knots": 4, "seeds": 1}


@slinky.part("law", _ROWS, full=_FULL, quick=_QUICK)
def law(run: Run) -> Iterator[Claim]:
    """Fits to three draws of noise; each law in two other rods."""
    s = run.settings
    row = lambda key: run.row(f"slinky.law.{key}")
    count, seconds = s["nodes"], s["seconds"]
    places = {
        "motion": cantilever(count, LENGTH),
        "longer": cantilever(count + count // 2, 1.5 * LENGTH),
        "held": arch(count),
    }
    run.progress("law: the truth")
    true = {key: moved(place, truth(), seconds) for key, place in places.items()}
    straight = {key: moved(place, None, seconds) for key, place in places.items()}
    found: dict[str, list[float]] = {}
    for seed in range(s["seeds"]):
        run.progress(f"law: seed {seed}")
        rng = np.random.default_rng(seed)
        seen = true["motion"] + s["noise"] * rng.normal(size=true["motion"].shape)
        rod, _, held = places["motion"]
        fit = fit_bending(
            rod,
            seen,
            EVERY,
            STEP,
            boundary=held,
            drag=DRAG,
            knots=s["knots"],
            smooth=SMOOTH,
        )
        values = {"residual": fit.rms, "visited": fit.visited}
        values |= {"error": law_error(fit.law, fit.visited)}
        one = BendingLaw(np.ones(2), 1.0)
        values |= {"error_linear": law_error(one, fit.visited)}
        for key in ("longer", "held"):
            ours = moved(places[key], fit.law, seconds)
            values |= {key: off(ours, true[key])}
            values |= {f"{key}_linear": off(straight[key], true[key])}
        for key, value in values.items():
            found.setdefault(key, []).append(value)
        if seed == 0:
            draw(run, fit)
    for key, values in found.items():
        yield row(key).measured(values)


Place = tuple[ElasticRod, RodState, Boundary]


def truth() -> BendingLaw:
    """The true law, in knots so fine that their lines are its curve."""
    at = np.linspace(0.0, 200.0, FINE)
    return BendingLaw(1.0 + 6.0 * STIFFENING * at**2, float(at[1]))


def cantilever(nodes: int, length: float) -> Place:
    """A soft straight rod, clamped at one end."""
    points = np.linspace([0.0, 0.0, 0.0], [length, 0.0, 0.0], nodes)
    rod = ElasticRod.from_points(points, Section.circular(1e-3, 1e6, 1000.0))
    return rod, rod.start, Boundary.of(rod, [0, 1], [0])


def arch(nodes: int) -> Place:
    """The straight rod bent to a half circle that hangs from clamps at both ends."""
    rod = cantilever(nodes, LENGTH)[0]
    angle = np.pi * np.linspace(0.0, 1.0, nodes)
    # chords as long as the edges at rest
    radius = 0.5 * LENGTH / (nodes - 1) / np.sin(0.5 * np.pi / (nodes - 1))
    ring = [-radius * np.cos(angle), 0.0 * angle, -radius * np.sin(angle)]
    ends = Boundary.of(rod, [0, 1, -2, -1], [0, -1])
    return rod, rod.placed(np.stack(ring, axis=1)), ends


def moved(place: Place, own: BendingLaw | None, seconds: float) -> np.ndarray:
    """Nodes `"time node 3"` of a motion with some law."""
    rod, state, held = place
    run = simulate_rod(
        dataclasses.replace(rod, law=own),
        seconds,
        STEP,
        state=state,
        boundary=held,
        drag=DRAG,
        save_every=EVERY,
        strict=True,
    )
    return run.nodes


def moment(own: BendingLaw, kappa: np.ndarray) -> np.ndarray:
    """Moments over EI [1/m]."""
    return np.asarray(own.parts(jnp.asarray(kappa, jnp.float32))[1], float)


def law_error(own: BendingLaw, most: float) -> float:
    """Relative error of the moment up to some curvature."""
    kappa = np.linspace(0.0, most, 200)
    exact = kappa + 2.0 * STIFFENING * kappa**3
    return float(np.linalg.norm(moment(own, kappa) - exact) / np.linalg.norm(exact))


def off(ours: np.ndarray, true: np.ndarray) -> float:
    """Mean distance of nodes over the mean way they go."""
    distance = lambda a, b: np.linalg.norm(a - b, axis=-1).mean()
    return float(distance(ours, true) / distance(true, true[:1]))


def draw(run: Run, fit: BendingFit) -> None:
    """Moments over curvature."""
    kappa = np.linspace(0.0, 1.2 * fit.visited, 200)
    with figure(run.figures / "law.svg", 1, 3.0) as (ax,):
        exact = kappa + 2.0 * STIFFENING * kappa**3
        ax.plot(kappa, exact, color=COLOURS[4], label="truth")
        ax.plot(kappa, moment(fit.law, kappa), color=COLOURS[0], label="found", ls="--")
        ax.plot(kappa, kappa, color=COLOURS[1], label="linear", lw=0.8)
        ax.axvspan(0.0, fit.visited, color="#eeeeee", label="visited")
        ax.set(xlabel="curvature [1/m]", ylabel="moment over EI [1/m]")
        ax.legend(frameon=False)
