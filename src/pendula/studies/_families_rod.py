"""Part `rod` of study `families`: of modulus and density of a rod only the ratio acts.
What eta counts, what a map from both settings to eta says of new ones, and which
settings eta tells to act."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Trajectories
from ._claim import Claim
from ._families import families
from ._families_motion import dimensions
from ._figures import COLOURS, figure
from ._row import Row
from ._study import Run


NODES = 6  # that move, between two fixed ends
LENGTH = 10.0  # m
STEP, SAMPLES = 0.05, 81  # ms
BOX = ((50.0, 80.0), (2.0, 8.0))  # E [GPa], rho [1000 kg/m3]: E/rho in (m/ms)^2
_ROWS = (
    Row(
        "families.C.product",
        "Longitudinal rod, modulus and density both varied, 2 entries of eta: the "
        "larger of the two estimates of the dimension (variance, sensitivity).",
        better="equal",
        target=1,
        tried="Affine head, Gauss-Newton with etas that start at 0.",
    ),
    Row(
        "families.control_map.rod",
        "Map from (E, rho) to the one entry of eta, 20 unseen settings: largest "
        "difference from the eta adapted to a record, over the range of eta.",
        target=0.03,
        tried="Affine mean and Gaussian process on logarithms of the settings, from 20 "
        "training systems.",
    ),
    Row(
        "families.control_map.rod_e5",
        "Forecast of records at these settings from the map alone, without any record "
        "of the rod: relative error, median.",
    ),
    Row(
        "families.control_map.rod_level",
        "Spread of eta along level sets E/rho = const within the box, over the range "
        "of eta: the largest.",
    ),
    Row(
        "families.causality",
        "Whether eta tells that modulus and density act: the larger p-value of their "
        "permutations, corrected for three settings, of which the third is idle; "
        "worst of its draws.",
        target=0.05,
        source="Wang 2023, 4.6.1",
        tried="Logarithms of the settings of the 20 training rods, their etas as they "
        "were trained, 999 permutations.",
    ),
    Row(
        "families.causality.partial_r2",
        "Partial R^2 between eta and modulus or density, the other two settings "
        "given: the smaller.",
        source="Wang 2023, 4.6.1",
    ),
    Row(
        "families.causality.idle_r2",
        "The same of the setting that does nothing, mean over its draws.",
        source="Wang 2023, 4.6.1",
    ),
    Row(
        "families.causality.idle",
        "Share of the draws of the idle setting in which it is told to act at 5 % of "
        "its own p-value.",
        better="within",
        target=(0.01, 0.1),
        source="Wang 2023, 4.6.1",
        tried="200 draws of 20 values, each uniform between 0 and 1.",
    ),
)
_FULL: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "systems": 20,
    "unseen": 20,
    "idle": 200,
    "model": {"learn": "force", "width": 8, "depth": 1, "priors": ["odd"]},
}
_QUICK: dict[str, Any] = copy.deepcopy(_FULL)
_QUICK |= {"seeds": [0], "systems": 6, "unseen": 2, "steps": 2, "idle": 2}
_QUICK["model"] |= {"width": 4, "depth": 0}


@families.part("rod", _ROWS, full=_FULL, quick=_QUICK)
def rod(run: Run) -> Iterator[Claim]:
    """Every seed, then the rows and the figure."""
    found = [
        run.keep(f"seed_{seed}", lambda seed=seed: measured(run.settings, seed))
        for seed in run.settings["seeds"]
    ]
    level_figure(run.figures / "control_map.svg", found[0])
    yield run.row("families.C.product").measured([int(f["product"]) for f in found])
    for key in ("", "_e5", "_level"):
        name = f"rod{key}"
        yield run.row(f"families.control_map.{name}").measured(
            [float(f[name]) for f in found]
        )
    for key in ("", ".partial_r2", ".idle_r2", ".idle"):
        values = [float(f[f"causality{key}"]) for f in found]
        yield run.row(f"families.causality{key}").measured(values)


def motion(modulus: float, density: float, start: np.ndarray) -> np.ndarray:
    r"""Exact states `"time 2 node"` of $\rho\,\ddot u = E\,u_{xx}$ by central
    differences between fixed ends, from displacements and velocities `"2 node"`.

    The modes are sines, $\omega_n = 2 \sqrt{E/\rho}\, \sin(n \pi / 2(N + 1)) / h$.
    """
    h = LENGTH / (NODES + 1)
    n = np.arange(1, NODES + 1)
    modes = np.sin(np.pi * np.outer(n, n) / (NODES + 1)) * np.sqrt(2 / (NODES + 1))
    omega = 2 * np.sqrt(modulus / density) / h * np.sin(0.5 * np.pi * n / (NODES + 1))
    t = (np.arange(SAMPLES) * STEP)[:, None]
    q, v = start @ modes
    c, s = np.cos(omega * t), np.sin(omega * t)
    position, speed = q * c + v / omega * s, v * c - q * omega * s
    return np.stack([position @ modes, speed @ modes], axis=1)


def rods(
    systems: np.ndarray, each: int, rng: np.random.Generator
) -> tuple[Trajectories, np.ndarray]:
    """Records of rods with these (E, rho), from random sums of the three slowest
    modes; and their start states `"traj 2 node"`."""
    x = np.arange(1, NODES + 1) / (NODES + 1)
    shapes = np.sin(np.pi * np.arange(1, 4)[:, None] * x)
    env = np.repeat(np.arange(len(systems)), each)
    size = np.array([1.0, 2.0])[:, None]  # mm, mm/ms
    starts = np.stack([size * rng.uniform(-1, 1, (2, 3)) @ shapes for _ in env])
    ys = [
        motion(systems[i, 0], systems[i, 1], y0)
        for i, y0 in zip(env, starts, strict=True)
    ]
    data = Trajectories.from_arrays(
        [np.arange(SAMPLES) * STEP] * len(ys),
        [y.reshape(SAMPLES, -1) for y in ys],
        names=tuple(f"{k}{i + 1}" for k in "uv" for i in range(NODES)),
        units=("mm",) * NODES + ("mm/ms",) * NODES,
        time_unit="ms",
        origin={"system": "rod"},
    )
    return data.replace(env=env), starts


def measured(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train with one and with two entries; map settings to eta."""
    from ..dynamics import FamilyConfig, ModelConfig, fit_control_map, meta_fit

    rng = np.random.default_rng([seed, 6])
    low, high = np.array(BOX).T
    seen = rng.uniform(low, high, (settings["systems"], 2))
    new = rng.uniform(low, high, (settings["unseen"], 2))
    data, _ = rods(seen, 2, rng)
    told = dict(settings["model"])
    told["priors"] = tuple(told["priors"])
    config = FamilyConfig(
        ModelConfig(**told), head="affine", seed=seed, steps=settings.get("steps", 0)
    )
    family = meta_fit(data, config)
    twice = meta_fit(data, FamilyConfig(**{**vars(config), "size": 2}))
    made = fit_control_map(seen, family.etas, ("E", "rho"), ("GPa", "1000 kg/m3"))
    records, _ = rods(new, 1, rng)
    adapted = np.array([a.eta[0] for a in family.adapt_many(records)])
    guessed = np.array([made(c)[0] for c in new])
    extent = float(np.ptp(family.etas))
    ts = np.arange(SAMPLES) * STEP
    fresh, _ = rods(new, 1, rng)
    truth = fresh.ys
    runs = family.predict(guessed[:, None], truth[:, 0], ts)
    off = np.linalg.norm(runs - truth, axis=(1, 2)) / np.linalg.norm(truth, axis=(1, 2))
    grid = [np.linspace(a, b, 41) for a, b in BOX]
    etas = np.array([[made(np.array([e, r]))[0] for r in grid[1]] for e in grid[0]])
    level = []
    for ratio in np.linspace(10.0, 25.0, 6):
        density = np.linspace(*BOX[1], 200)
        inside = (ratio * density >= low[0]) & (ratio * density <= high[0])
        along = [made(np.array([ratio * r, r]))[0] for r in density[inside][::8]]
        level.append(np.ptp(along))
    told_of = acting(family.etas, seen, settings["idle"], rng)
    return told_of | {
        "product": max(dimensions(twice)),
        "rod": np.max(np.abs(guessed - adapted)) / extent,
        "rod_e5": np.median(off),
        "rod_level": np.max(level) / extent,
        "modulus": grid[0],
        "density": grid[1],
        "eta": etas,
        "seen": seen,
        "new": new,
    }


def acting(
    etas: np.ndarray, seen: np.ndarray, draws: int, rng: np.random.Generator
) -> dict[str, float]:
    """What eta tells of modulus, density and of a setting drawn anew that is idle."""
    from ..diagnostics import causality

    names = ("E", "rho", "idle")
    found = [
        causality(etas, np.column_stack([np.log(seen), idle]), names)
        for idle in rng.uniform(0.0, 1.0, (draws, len(seen)))
    ]
    return {
        "causality": max(float(f.p_holm[:2].max()) for f in found),
        "causality.partial_r2": min(float(f.partial_r2[:2].min()) for f in found),
        "causality.idle_r2": float(np.mean([f.partial_r2[2] for f in found])),
        "causality.idle": float(np.mean([f.p[2] <= 0.05 for f in found])),
    }


def level_figure(path: Path, found: dict[str, np.ndarray]) -> None:
    """Level sets of the mapped eta over (E, rho), and lines of constant E/rho."""
    with figure(path, 1, 4.0) as (ax,):
        e, rho = found["modulus"], found["density"]
        lines = ax.contour(e, rho, found["eta"].T, levels=9, colors=COLOURS[0])
        ax.clabel(lines, fontsize=7)
        for ratio in (8.0, 10.0, 12.5, 16.0, 20.0, 25.0, 32.0):
            ax.plot(e, e / ratio, "--", color=COLOURS[1], linewidth=0.8)
            ax.annotate(f"E/rho = {ratio:g}", (e[0], e[0] / ratio), fontsize=7)
        ax.plot(*found["seen"].T, "o", color=COLOURS[4], markersize=3, label="trained")
        ax.plot(*found["new"].T, "+", color=COLOURS[2], markersize=6, label="unseen")
        ax.set_xlim(e[0], e[-1])
        ax.set_ylim(rho[0], rho[-1])
        ax.set_xlabel("E [GPa]")
        ax.set_ylabel("rho [1000 kg/m3]")
        ax.legend(loc="upper left", frameon=False)
