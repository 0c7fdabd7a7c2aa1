"""Part `vs_pysindy` of study `real_data`: sparse laws of noisy records, beside a peer.

Both sides get the same records, the same library of terms and the same held-out part to
choose on; what differs is how coefficients are found: PySINDy regresses derivatives (or
their weak form), ours go through the solver with free start states. The test states are
drawn after all that, and their truth has no noise.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data import Trajectories, split
from ..dynamics import Library, exponents, fit_sparse, from_dict, stretch_errors
from ..systems import simulate
from ._claim import Claim
from ._pysindy_fit import candidates, check_here, introduction
from ._pysindy_multiarm import multiarm_rows
from ._pysindy_rows import HORIZONS, ID, MAIN, ROWS, SYSTEMS_ROW, cell_key, cells
from ._pysindy_score import free_run_errors, law_models
from ._real_data import real_data
from ._study import Run


DEGREE, VALIDATION = 3, 0.2
UNSEEN = 10_000  # seeds of test states start here, those of training records at 0

# Records as `simulate` makes them by default. The windows are three periods of the
# pendulum, two Lyapunov times, a cycle and a half.
SYSTEMS: dict[str, dict[str, Any]] = {
    "pendulum": {"order": "auto", "window": 6.0, "horizon": 20.0, "waves": [0]},
    "lorenz": {"order": "first", "window": 2.0, "horizon": 2.2, "waves": []},
    "lotka_volterra": {"order": "first", "window": 10.0, "horizon": 20.0, "waves": []},
}
PEER_SETTINGS = {
    "thresholds": [0.02, 0.05, 0.1, 0.2, 0.5, 1.0],
    "windows": [0, 11, 21],
    "widths": [0.05, 0.1],
    "domains": 500,
}
FULL = {
    "systems": SYSTEMS,
    "draws": 5,
    "more_draws": 2,
    "tests": 20,
    "samples": None,
    "steps": 40,
    "substeps": 2,
    "peer": PEER_SETTINGS,
    "multiarm": {"degrees": [1, 2, 3], "stride": 1, "recipe": None},
}


def _quick() -> dict[str, Any]:
    """One draw of short records, one of them in every cell, one threshold."""
    out = copy.deepcopy(FULL)
    out |= {"draws": 1, "more_draws": 1, "tests": 2, "samples": 101, "steps": 5}
    out["at_most"] = 1
    out["peer"] |= {"thresholds": [0.1], "windows": [11], "domains": 50}
    recipe = {"steps": 3, "members": 1}
    out["multiarm"] = {"degrees": [1], "stride": 16, "recipe": recipe}
    return out


@real_data.part("vs_pysindy", ROWS, full=FULL, quick=_quick())
def vs_pysindy(run: Run) -> Iterator[Claim]:
    """The peer's own example, the measured pendulum, then the main cell of every
    system, then the other cells."""
    check_here()
    yield from _example(run)
    yield from multiarm_rows(run)
    won = 0
    for system in HORIZONS:
        found = _draws(run, system, *MAIN)
        ratios = [float(f["ours"] / f["pysindy"]) for f in found]
        won += bool(np.median(ratios) < 1)
        yield run.row(f"{ID}.{system}").measured(ratios)
        yield from _errors(run, cell_key(system, *MAIN), found)
        for side in ("ours", "pysindy"):
            for what in ("terms", "seconds"):
                values = [float(f[f"{side}_{what}"]) for f in found]
                yield run.row(f"{ID}.{system}_{side}_{what}").measured(values)
    yield run.row(SYSTEMS_ROW.id).measured(won, n=len(HORIZONS))
    for system in HORIZONS:
        for cell in cells():
            if cell != MAIN:
                found = _draws(run, system, *cell)
                yield from _errors(run, cell_key(system, *cell), found)


def _example(run: Run) -> Iterator[Claim]:
    """Whether our use of the peer gives what it documents."""
    data = simulate("lorenz", ts=np.arange(0.0, 10.0, 0.002), y0=[-8.0, 8.0, 27.0])
    found, truth = introduction(data), _lorenz()
    same = ((found != 0) == (truth != 0)).all(axis=0)
    yield run.row(f"{ID}.example").measured(int(same.sum()), n=3)
    there = truth != 0
    error = np.abs(found[there] / truth[there] - 1).max()
    yield run.row(f"{ID}.example_error").measured(float(error))


def _lorenz() -> np.ndarray:
    """The true coefficients of the terms 1, x, y, z, x^2, x y, x z, y^2, y z, z^2."""
    out = np.zeros((10, 3))
    out[[1, 2], 0] = -10.0, 10.0
    out[[1, 2, 6], 1] = 28.0, -1.0, -1.0
    out[[3, 5], 2] = -8.0 / 3.0, 1.0
    return out


def _draws(run: Run, system: str, noise: int, num: int) -> list[dict[str, Any]]:
    """All draws of one cell, each kept when it is done."""
    count = run.settings["draws" if (noise, num) == MAIN else "more_draws"]
    return [
        run.keep(
            f"{system}_{noise}_{num}_{draw}",
            lambda draw=draw: compared(run.settings, system, noise, num, draw),
        )
        for draw in range(count)
    ]


def _errors(run: Run, key: str, found: list[dict[str, Any]]) -> Iterator[Claim]:
    for side in ("ours", "pysindy"):
        yield run.row(f"{key}_{side}").measured([float(f[side]) for f in found])


def compared(
    settings: dict[str, Any], system: str, noise: int, num: int, draw: int
) -> dict[str, Any]:
    """Both sides on one draw: errors on unseen states, terms, seconds, and the laws."""
    data = records(settings, system, num, draw, noise / 100)
    truth = unseen(settings, system, draw)
    ours = side_ours(settings, system, data, draw, truth)
    return {**ours, **side_peer(settings, system, data, draw, truth)}


def records(
    settings: dict[str, Any], system: str, num: int, seed: int, noise: float
) -> Trajectories:
    """Training records: starts and noise are drawn anew for every seed."""
    num = min(num, settings.get("at_most", num))
    data = simulate(system, num=num, seed=seed, noise=noise, relative=True)
    last = settings["samples"]
    return data if last is None else data.between(0.0, float(data.ts[0, last - 1]))


def unseen(settings: dict[str, Any], system: str, draw: int) -> Trajectories:
    """Noiseless records from states that nothing was fitted to."""
    horizon, count = settings["systems"][system]["horizon"], settings["tests"]
    return simulate(system, num=count, seed=UNSEEN + draw, duration=horizon)


def side_ours(
    settings: dict[str, Any],
    system: str,
    data: Trajectories,
    draw: int,
    truth: Trajectories,
) -> dict[str, Any]:
    """The library fitted through the solver."""
    own = settings["systems"][system]
    config = {
        "model": {"order": own["order"], "substeps": settings["substeps"]},
        "train": {"window": own["window"], "steps": settings["steps"]},
        "validation": VALIDATION,
        "every": 1,
        "seed": draw,
    }
    began = time.perf_counter()
    fitted = fit_sparse(data, from_dict(config), degree=DEGREE)
    seconds = time.perf_counter() - began
    return {
        "ours": free_run_errors(fitted.ensemble, truth)[0],
        "ours_terms": sum(_count(text) for text in fitted.about["equations"]),
        "ours_seconds": seconds,
        "ours_law": "; ".join(fitted.about["equations"]),
    }


def _count(equation: str) -> int:
    """Terms of an equation in words."""
    side = equation.partition(" = ")[2]
    return 0 if side == "0" else 1 + side.count(" + ") + side.count(" - ")


def side_peer(
    settings: dict[str, Any],
    system: str,
    data: Trajectories,
    draw: int,
    truth: Trajectories,
) -> dict[str, Any]:
    """The peer's best candidate on the held-out part, fitted again to all data."""
    own = settings["systems"][system]
    library = Library(exponents(data.dim, DEGREE), own["waves"], out=data.dim)
    train, held, _ = split(data, VALIDATION, seed=draw)
    began = time.perf_counter()
    found = candidates(train, library, settings["peer"])
    seconds = time.perf_counter() - began  # its own: the scores below are our code
    models = law_models(library, list(found.values()), settings["substeps"])
    spread = train.ys.std(axis=(0, 1))
    errors = stretch_errors(models, held, own["window"], spread)
    best = list(found)[int(np.argmin(errors))]
    began = time.perf_counter()
    again = candidates(data, library, settings["peer"], only=best)[best]
    seconds += time.perf_counter() - began
    law = again if again.any() else found[best]
    names = data.names
    sides = library.with_physical(law).equations(names)
    return {
        "pysindy": free_run_errors(
            law_models(library, [law], settings["substeps"]), truth
        )[0],
        "pysindy_terms": int(np.count_nonzero(law)),
        "pysindy_seconds": seconds,
        "pysindy_law": "; ".join(
            f"{name}' = {side}" for name, side in zip(names, sides, strict=True)
        ),
        "pysindy_choice": best,
    }
