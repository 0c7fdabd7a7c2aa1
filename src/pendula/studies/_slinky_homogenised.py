"""Part `homogenised` of study `slinky`: an energy of bars from cycles at rest, without
any motion, on the cases that the trained network is measured on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..dynamics import (
    AbstractBarEnergy,
    BarChain,
    BarsConfig,
    BarWorld,
    cell_law,
    cell_polynomial,
    fit_cells,
    slinky_network,
)
from ..systems import Slinky, cell_energy
from ._claim import Claim
from ._row import Row
from ._slinky import slinky
from ._slinky_cases import (
    CASES,
    SlinkyCase,
    distances,
    follow,
    sag_error,
    truth,
)
from ._study import Run


LOW, HIGH = (5e-4, -8e-3, -0.5), (25e-3, 8e-3, 0.5)  # m, m, rad: what is tabulated
HELD_OUT = 4  # every so many cells none learns from
SPAN = 0.7  # s, what the trained network learned from
KEYS = ("case0", "case1", "case2")
WHO = {
    "": "The cells' energy itself (a polynomial through it)",
    "law_": "The classical law fitted to the cells",
    "network_": "A network fitted to the cells, as large as the trained one",
    "trained_": "The network that learned from motion, beside them",
}


def _rows() -> Iterator[Row]:
    words = {c.key: c.words for c in CASES}
    row = lambda key, text, unit: Row(f"slinky.homogenised.{key}", text, unit)
    for who, name in WHO.items():
        for key in KEYS:
            text = f"{name}: {words[key]}, mean distance of the ends of bars."
            yield row(f"{who}{key}_m", text, "m")
        yield row(f"{who}train_m", f"{name}: the first 0.7 s of case 0, the same.", "m")
        text = "sag at rest against the rod's, relative, worst of cases 0 to 2."
        yield row(f"{who}static_sag", f"{name}: {text}", "1")
    yield row("ka", "Stiffness of a cycle along the axis, from cells.", "N/m")
    yield row("ks", "In shear.", "N/m")
    yield row("kr", "In bending.", "N m")
    for who in ("", "law_", "network_"):
        text = "error of forces on cells that none learned from, root mean square."
        yield row(f"{who}force_error", f"{WHO[who]}: {text}", "N")
    beside = "over the network that learned from motion: mean distance, geometric mean"
    text = f"The cells' energy itself {beside} of cases 0 to 2."
    yield row("over_network", text, "1")
    text = f"The network fitted to cells {beside} of cases 0 to 2."
    yield row("network_over_network", text, "1")


_FULL: dict[str, Any] = {"cells": 1024, "cycles": None, "updates": 10000, "width": 32}
_QUICK = {"cells": 128, "cycles": 6, "updates": 100, "width": 4}


@slinky.part("homogenised", tuple(_rows()), full=_FULL, quick=_QUICK)
def homogenised(run: Run) -> Iterator[Claim]:
    """Solve the cells, fit three energies to them, follow three cases."""
    s = run.settings
    row = lambda key: run.row(f"slinky.homogenised.{key}")
    table = run.keep("cells", lambda: tabulated(s["cells"]))
    pairs, energy, slope = (table[k] for k in ("pairs", "energy", "slope"))
    seen = np.arange(len(pairs)) % HELD_OUT != HELD_OUT - 1
    law = cell_law(pairs[seen], slope[seen])
    for name, k in zip(("ka", "ks", "kr"), np.exp(law.stiffness), strict=True):
        yield row(name).measured(float(k))
    config = BarsConfig(width=s["width"], start_steps=s["updates"])
    net, _ = fit_cells(
        pairs[seen, None],
        energy[seen],
        slope[seen, None],
        config,
        tell=lambda at: run.progress(f"cells: {at['step']} of {at['total']}"),
    )
    polynomial = cell_polynomial(pairs[seen], energy[seen], slope[seen])
    energies: dict[str, AbstractBarEnergy] = {
        "": polynomial,
        "law_": law,
        "network_": net,
        "trained_": slinky_network().model().field.force.energy,
    }
    for who in ("", "law_", "network_"):
        off = force_error(energies[who], pairs[~seen], slope[~seen])
        yield row(f"{who}force_error").measured(off)
    cases = [c for c in CASES if c.key in KEYS]
    if s["cycles"] is not None:
        cases = [c.smaller(s["cycles"], 0.12) for c in cases]
    known = {c.key: run.keep(c.key, lambda c=c: truth(c)) for c in cases}
    means = {}
    for who, own in energies.items():
        run.progress(f"cells: motions, {who or 'polynomial'}")
        found = judged(BarChain(own, BarWorld.of()), cases, known)
        means[who] = np.exp(np.mean(np.log([found[f"{c.key}_m"] for c in cases])))
        for key, value in found.items():
            yield row(f"{who}{key}").measured(value)
    yield row("over_network").measured(means[""] / means["trained_"])
    yield row("network_over_network").measured(means["network_"] / means["trained_"])


def tabulated(cells: int) -> dict[str, np.ndarray]:
    """Cells of one pair, spread over the table."""
    pairs = np.random.default_rng(0).uniform(LOW, HIGH, (cells, 3))
    found = cell_energy(Slinky(2), pairs[:, None])
    return {"pairs": pairs, "energy": found.energy, "slope": found.slope[:, 0]}


def force_error(
    energy: AbstractBarEnergy, pairs: np.ndarray, slope: np.ndarray
) -> float:
    """Root mean square error of forces, moments over the radius [N]."""
    own, held = jnp.asarray(pairs, jnp.float32), jax.tree.map(jnp.asarray, energy)
    whole = lambda p: jnp.sum(held(jnp.concatenate([p, p], axis=-1)))
    off = (np.asarray(jax.grad(whole)(own), float) - slope) / [1.0, 1.0, 0.033]
    return float(np.sqrt(np.mean(off**2)))


def judged(
    chain: BarChain, cases: list[SlinkyCase], known: dict[str, dict[str, np.ndarray]]
) -> dict[str, float]:
    """Mean distances, and the worst error of the sag."""
    found, sags = {}, []
    for case in cases:
        own = known[case.key]
        far = distances(follow(case, chain, own).u, own["u"])
        found[f"{case.key}_m"] = float(far.mean())
        if case.key == "case0":
            found["train_m"] = float(far[own["ts"] <= SPAN * (1.0 + 1e-9)].mean())
        sags.append(sag_error(case, chain, own))
    return found | {"static_sag": max(sags)}
