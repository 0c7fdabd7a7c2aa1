"""Part `waves` of study `pinns`: many waves on few nodes, by Gaussian processes whose
spectrum is learned."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from ..solutions import named_problem, solve
from ..systems import closed_form
from ._claim import Claim
from ._pinns import left_out, pinns
from ._row import Row
from ._study import Run


class _Wave(NamedTuple):
    name: str
    kind: str
    length: float
    nodes: int
    plane: bool = False

    def words(self) -> str:
        """What is solved."""
        where = f"[0, {self.length:.3g}]" + ("^2" if self.plane else "")
        each = f"{self.nodes}^2" if self.plane else f"{self.nodes}"
        return f"{self.name} of {self.kind}, {where}, {each} nodes"


_TAU = 2.0 * math.pi
_LINE = ("three_sines", "sine", "product", "growing", "parabola")
_WAVES = {
    # the last one has 500 waves on the longer line: more than 900 nodes can hold
    **{
        f"poisson_{kind}": _Wave(
            "poisson",
            kind,
            1.0 if kind == "parabola" else _TAU,
            900 if kind == "growing" else 400,
        )
        for kind in _LINE
    },
    **{
        f"allen_cahn_{kind}": _Wave("allen_cahn_steady", kind, 1.0, 400)
        for kind in _LINE
    },
    # a corner of the published square: grids have 2500 values at most
    **{
        f"{key}_{kind}_plane": _Wave(name, kind, 0.3, 40, True)
        for key, name in (("poisson", "poisson"), ("allen_cahn", "allen_cahn_steady"))
        for kind in ("three_sines", "sine", "product")
    },
}
_TRIED = "The defaults of `gp`, 12 components in the plane."


def _rows() -> Iterator[Row]:
    for key, wave in _WAVES.items():
        yield Row(
            f"pinns.waves.{key}",
            f"Relative L2 error, {wave.words()}, by gp.",
            target=1e-3,
            goal=1e-5,
            source="arXiv:2311.04465",
            tried=_TRIED,
        )
        yield Row(
            f"pinns.waves.{key}_seconds",
            f"Time with compiling, {wave.words()}.",
            "s",
        )


@pinns.part(
    "waves",
    tuple(_rows()),
    full={"seeds": 3, "plane_seeds": 1, "only": []},
    quick={"seeds": 1, "plane_seeds": 1, "only": ["allen_cahn_product"]},
)
def waves(run: Run) -> Iterator[Claim]:
    """High frequencies with closed forms."""
    s = run.settings
    for key, wave in _WAVES.items():
        if s["only"] and key not in s["only"]:
            yield from left_out(run, f"pinns.waves.{key}")
            continue
        found = [
            run.keep(f"{key}_{seed}", lambda w=wave, k=seed: _one(w, k))
            for seed in range(s["plane_seeds" if wave.plane else "seeds"])
        ]
        yield run.row(f"pinns.waves.{key}").measured([float(f["error"]) for f in found])
        seconds = [float(f["seconds"]) for f in found]
        yield run.row(f"pinns.waves.{key}_seconds").measured(seconds)


def _one(wave: _Wave, seed: int) -> dict[str, Any]:
    jax.clear_caches()
    problem = named_problem(
        wave.name, kind=wave.kind, plane=wave.plane, length=wave.length
    )
    options = {"nodes": wave.nodes, **({"components": 12} if wave.plane else {})}
    began = time.perf_counter()
    solution = solve(problem, method="gp", seed=seed, check=False, **options)
    seconds = time.perf_counter() - began
    # none of the nodes but the ends, more than three times as many
    line = np.linspace(0.0, wave.length, 141 if wave.plane else 4001)
    if wave.plane:
        u = solution(line[:, None], line[None])
        x = np.stack(np.meshgrid(line, line, indexing="ij"), -1)
    else:
        u, x = solution(line), line
    truth = closed_form("poisson", x, 0.0, kind=wave.kind, plane=wave.plane)
    error = np.linalg.norm(u - truth) / np.linalg.norm(truth)
    return {"error": error, "seconds": seconds}
