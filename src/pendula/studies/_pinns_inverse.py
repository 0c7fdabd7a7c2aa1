"""Part `inverse` of study `pinns`: the speed of a flame, its conductivity and
activation energy from temperatures, and two parameters of a battery from a
discharge."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.integrate import solve_bvp
from scipy.optimize import brentq

from ..solutions import Cell, Flame, SingleParticle, Unknown, flame_problem, solve
from ._claim import Claim
from ._figures import COLOURS, sheet
from ._pinns import pinns
from ._row import Row
from ._study import Run


_GAS = 8.314462618
_BOX = ((0.5, 4.0), (1.0, 10.0))
_FLAME = "arXiv:2406.09071"
_FROZEN = (
    "Frozen tanh features on the whole interval around a smooth warm-up profile, "
    "uniform points, no graded coordinate."
)
_INVERSE = (
    "The same with observations as rows in log T, residual and observations in units "
    "of their standard deviations, speed known, guesses 20 % off."
)
_PARTICLE = (
    "One network of r / R and the root of D t / R^2 for both electrodes (the rest is "
    "similarity; p1 enters the voltage only), the part that goes with the root of time "
    "taken out in closed form. Without it the same features do not resolve the start; "
    "marching in time with geometric windows did not either."
)
_FIT = (
    "Least squares on the network's voltage each second, Laplace's approximation; "
    "places drawn evenly from the box. p2 hardly shows where it is large."
)

_ROWS = (
    Row(
        "pinns.inverse.flame_sL",
        "Relative error of the flame speed against a boundary-value solver.",
        target=0.01,
        source=_FLAME,
        tried=_FROZEN,
    ),
    Row(
        "pinns.inverse.flame_lam",
        "Relative error of the conductivity from 10 temperatures with 2 % noise.",
        target=0.05,
        source=_FLAME,
        tried=_INVERSE,
    ),
    Row(
        "pinns.inverse.flame_E",
        "Relative error of the activation energy from the same.",
        target=0.05,
        source=_FLAME,
        tried=_INVERSE,
    ),
    Row(
        "pinns.inverse.flame_seconds",
        "Wall time with compiling of the slower of both flame problems.",
        "s",
        target=120.0,
        tried=_FROZEN,
    ),
    Row(
        "pinns.inverse.spm_voltage",
        "RMS error of the voltage against the series, the worst of the box.",
        "V",
        target=2e-3,
        source="arXiv:2312.17329",
        published=2e-3,
        tried=_PARTICLE,
    ),
    Row(
        "pinns.inverse.spm_p1",
        "Relative error of p1 from a discharge with 1 mV of noise.",
        target=0.05,
        source="arXiv:2312.17329",
        tried=_FIT,
    ),
    Row(
        "pinns.inverse.spm_p2",
        "Relative error of p2 from the same.",
        target=0.05,
        source="arXiv:2312.17329",
        tried=_FIT,
    ),
    Row(
        "pinns.inverse.spm_coverage",
        "Part of the trials whose 95 % interval holds the truth, the worse of p1, p2.",
        better="higher",
        target=0.9,
        tried=_FIT,
    ),
)


def flame_truth(flame: Flame, speed: float = 0.4) -> tuple[float, Any]:
    """The flame's speed and its temperature as a function of x, by collocation with
    the speed as a parameter; `speed`: where the search for it begins."""
    lam, act = float(flame.conductivity), float(flame.activation)  # type: ignore[arg-type]  # numbers, not unknowns
    gas, c_p, size = _GAS / flame.molar_mass, flame.heat_capacity, flame.length

    def burnt(t: np.ndarray, s: float) -> np.ndarray:
        t = np.clip(t, 200.0, 2.0 * flame.burnt)
        c = s + gas * flame.inlet / s
        u = 0.5 * (c - np.sqrt(c * c - 4.0 * gas * t))
        fuel = flame.fuel + c_p * (flame.inlet - t) / flame.heat
        mass = np.maximum(fuel, 0.0) * flame.density * s / u
        return flame.rate * np.exp(-act / (_GAS * t)) * mass**1.6

    def slope(x: np.ndarray, y: np.ndarray, p: np.ndarray) -> np.ndarray:
        flux = flame.density * p[0] * c_p
        heat = burnt(flame.inlet + flame.rise * y[0], p[0]) * flame.heat / flame.rise
        return np.stack([y[1], (size * flux * y[1] - size**2 * heat) / lam])

    def ends(a: np.ndarray, b: np.ndarray, p: np.ndarray) -> np.ndarray:
        return np.asarray([a[0], a[1] - flame.gradient * size / flame.rise, b[1]])

    # At a tenth of this tolerance what is left is rounding in places, and the mesh
    # grows without end on some processors.
    x = np.linspace(0.0, 1.0, 401)
    y = 1.0 / (1.0 + np.exp(-25.0 * (x - 0.25)))
    found: Any = solve_bvp(
        slope,
        ends,
        x,
        np.stack([y, 25.0 * y * (1.0 - y)]),
        p=[speed],
        tol=1e-8,
        max_nodes=100_000,
    )
    assert found.success, found.message
    return float(
        found.p[0]
    ), lambda x: flame.inlet + flame.rise * found.sol(x / size)[0]


def surface_series(tau: np.ndarray, terms: int = 1000) -> np.ndarray:
    r"""F at the surface, $3 \tau + 1/5 - 2 \sum e^{-\lambda_n^2 \tau} / \lambda_n^2$
    with $\tan \lambda = \lambda$ (Crank 1975, equation 6.45)."""
    f = lambda z: math.sin(z) - z * math.cos(z)
    roots = np.asarray(
        [brentq(f, n * math.pi + 1e-9, (n + 0.5) * math.pi) for n in range(1, terms)]
    )
    decay = np.exp(-np.multiply.outer(tau, roots**2))
    return 3.0 * tau + 0.2 - 2.0 * np.sum(decay / roots**2, axis=-1)


def series_voltage(cell: Cell, t: np.ndarray, p1: float, p2: float) -> np.ndarray:
    """The cell's voltage by the series."""
    surfaces = []
    for name, factor in (("anode", 1.0), ("cathode", p2)):
        own = cell.electrode(name)
        d = own.diffusivity * factor
        filled = surface_series(d * t / own.radius**2)
        scale = cell.flux(name) * own.radius / d
        surfaces.append(own.start * own.most - scale * filled)
    return cell.voltage((surfaces[0], surfaces[1]), p1)


@pinns.part(
    "inverse",
    _ROWS,
    full={"seeds": 5, "trials": 50, "grid": 5},
    quick={"seeds": 1, "trials": 10, "grid": 2},
)
def inverse(run: Run) -> Iterator[Claim]:
    """Flame and battery; programs are compiled anew for each flame."""
    s = run.settings
    found = [run.keep(f"flame_{k}", lambda k=k: _flames(k)) for k in range(s["seeds"])]
    for key in ("sL", "lam", "E", "seconds"):
        values = [float(one[key]) for one in found]
        yield run.row(f"pinns.inverse.flame_{key}").measured(values)
    cell = run.keep("battery", lambda: _battery(s["trials"], s["grid"]))
    yield run.row("pinns.inverse.spm_voltage").measured(float(cell["voltage"]))
    for k, key in enumerate(("p1", "p2")):
        yield run.row(f"pinns.inverse.spm_{key}").measured(cell["errors"][:, k])
    held = float(cell["held"].mean(axis=0).min())
    yield run.row("pinns.inverse.spm_coverage").measured(held, n=s["trials"])
    _draw(run.figures / "inverse.svg", found[0], cell)


def _flames(seed: int) -> dict[str, Any]:
    """Forward and inverse."""
    speed, truth = flame_truth(Flame())
    jax.clear_caches()
    began = time.perf_counter()
    forward = solve(flame_problem(), tol=1e-4, check=False, seed=seed)
    seconds = time.perf_counter() - began
    rng = np.random.default_rng(seed)
    at = np.linspace(0.05, 0.95, 10) * Flame().length
    seen = truth(at) * (1.0 + 0.02 * rng.normal(size=10))
    flame = Flame(
        speed=speed,
        conductivity=Unknown("lam", init=2.0e-2, positive=True),
        activation=Unknown("E", init=1.0e5, positive=True),
    )
    problem = flame_problem(flame, at=at, temperature=seen)
    jax.clear_caches()
    began = time.perf_counter()
    back = solve(problem, tol=1e-3, check=False, seed=seed, features=100, nodes=200)
    seconds = max(seconds, time.perf_counter() - began)
    x = np.linspace(0.0, Flame().length, 200)
    return {
        "sL": abs(forward.report.unknown["sL"] / speed - 1.0),
        "lam": abs(back.report.unknown["lam"] / 2.6e-2 - 1.0),
        "E": abs(back.report.unknown["E"] / 1.214172e5 - 1.0),
        "seconds": seconds,
        "at": at,
        "seen": seen,
        "x": x,
        "temperature": flame.temperature(back, x),
    }


def _battery(trials: int, grid: int) -> dict[str, Any]:
    """The voltage over the box, and trials at places drawn from it."""
    model = SingleParticle()
    cell, t = model.cell, np.arange(1.0, 1351.0)
    gaps = [
        np.sqrt(np.mean((model.voltage(t, a, b) - series_voltage(cell, t, a, b)) ** 2))
        for a in np.linspace(*_BOX[0], grid)
        for b in np.linspace(*_BOX[1], grid)
    ]
    rng = np.random.default_rng(0)
    places, values, held = [], [], []
    for _ in range(trials):
        p = np.asarray([rng.uniform(*side) for side in _BOX])
        seen = series_voltage(cell, t, *p) + 1e-3 * rng.normal(size=t.size)
        found = list(model.identify(t, seen).values())
        places.append(p)
        values.append([one.value for one in found])
        held.append(
            [
                one.interval[0] <= true <= one.interval[1]
                for one, true in zip(found, p, strict=True)
            ]
        )
    true, ours = np.asarray(places), np.asarray(values)
    return {
        "voltage": max(gaps),
        "errors": np.abs(ours / true - 1.0),
        "held": np.asarray(held, float),
        "true": true,
        "ours": ours,
    }


def _draw(path: Path, flame: dict[str, Any], cell: dict[str, Any]) -> None:
    """The temperature fitted to its measurements; parameters found and true."""
    with sheet(path, (7.0, 2.6), (1, 3), 8.0) as (_, axes):
        axes[0].plot(1e3 * flame["x"], flame["temperature"], color=COLOURS[0])
        axes[0].plot(1e3 * flame["at"], flame["seen"], "o", ms=3.0, color=COLOURS[1])
        axes[0].set(xlabel="x [mm]", ylabel="T [K]")
        for k, ax in enumerate(axes[1:]):
            ax.plot(cell["true"][:, k], cell["ours"][:, k], "o", ms=3.0)
            ax.plot(_BOX[k], _BOX[k], color=COLOURS[4], lw=0.6)
            ax.set(xlabel=f"p{k + 1}, true", ylabel=f"p{k + 1}, found")
