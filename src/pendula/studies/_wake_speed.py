"""Part `speed` of study `wake`: time beside a lattice Boltzmann method."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .._files import replacing
from ..systems import CYLINDER_PRESETS, CylinderMesh
from ._benchmarks import benchmarks, printed
from ._claim import Claim
from ._row import Row
from ._study import Run
from ._wake import wake


LATTICE = "D2Q9, BGK, own"
_BOX = "20 cells a diameter, 25 D x 15 D, float32"
_ERROR = "|mean C_D less that of the preset reference| over it, Re = 100"
_ROWS = (
    Row(
        "wake.speed.ratio",
        "Time for a D/U at Re = 100, lattice Boltzmann over the coarse mesh, whose "
        "error of C_D is no larger; as many threads as cores, programs in turn.",
        better="higher",
        target=1.0,
        source=LATTICE,
        tried="A mesh as coarse as the error of C_D allows.",
    ),
    Row(
        "wake.speed.ratio_default",
        "The same over the default mesh.",
        better="higher",
        target=1.0,
        source=LATTICE,
        tried="The default mesh.",
    ),
    Row("wake.speed.ours", "Time for a D/U, default mesh.", "s"),
    Row("wake.speed.ours_coarse", "Time for a D/U, coarse mesh.", "s"),
    Row(
        "wake.speed.lattice",
        f"Time for a D/U, lattice Boltzmann: {_BOX}.",
        "s",
        source=LATTICE,
    ),
    Row("wake.speed.error_ours", f"Default mesh: {_ERROR}."),
    Row(
        "wake.speed.error_coarse",
        f"Coarse mesh: {_ERROR}; over that of the lattice Boltzmann method.",
        target=1.0,
        source=LATTICE,
        tried="Coarser and finer meshes.",
    ),
    Row(
        "wake.speed.error_lattice",
        f"Lattice Boltzmann: {_ERROR}.",
        source=LATTICE,
    ),
    Row("wake.speed.whole", "Time of a flow to t = 120, default mesh.", "s"),
)


def _told(mesh: CylinderMesh) -> str:
    return f"{mesh.num_radial},{mesh.num_angular},{mesh.dt!r}"


@wake.part(
    "speed",
    _ROWS,
    full={
        "coarse": "64,96,0.0125",
        "default": _told(CYLINDER_PRESETS["fast"]),
        "reference": _told(CYLINDER_PRESETS["reference"]),
        "cells": 20,
        "until": 80.0,
        "window": 30.0,
        "turns": 5,
        "units": 8.0,
        "lattice_units": 3.0,
    },
    quick={
        "coarse": "24,32,0.025",
        "default": "32,48,0.0125",
        "reference": "32,64,0.0125",
        "cells": 8,
        "until": 6.0,
        "window": 3.0,
        "turns": 1,
        "units": 5.0,
        "lattice_units": 1.0,
    },
)
def speed(run: Run) -> Iterator[Claim]:
    """Programs in processes of their own; nothing else should run meanwhile."""
    folder = benchmarks("_wake_lattice.py", ())
    s = run.settings
    sides = {name: ["--mesh", s[name]] for name in ("reference", "default", "coarse")}
    sides["lattice"] = ["--cells", str(s["cells"])]
    drag = {}
    for name, options in sides.items():
        long = ["--until", str(s["until"]), "--window", str(s["window"])]
        found = _program(run, folder, f"{name}_forces", [*options, *long])
        drag[name] = found["drag"]
    error = {k: abs(v / drag["reference"] - 1.0) for k, v in drag.items()}
    times: dict[str, list[float]] = {"default": [], "coarse": [], "lattice": []}
    for turn in range(s["turns"]):
        for name, seen in times.items():
            units = s["lattice_units"] if name == "lattice" else s["units"]
            brief = ["--until", str(units), "--window", "1"]
            options = [*sides[name], *brief]
            seen.append(_program(run, folder, f"{name}_{turn}", options)["seconds"])
    took = {name: np.array(seen) for name, seen in times.items()}
    yield run.row("wake.speed.ratio").measured(took["lattice"] / took["coarse"])
    ratio = took["lattice"] / took["default"]
    yield run.row("wake.speed.ratio_default").measured(ratio)
    yield run.row("wake.speed.ours").measured(took["default"])
    yield run.row("wake.speed.ours_coarse").measured(took["coarse"])
    yield run.row("wake.speed.lattice").measured(took["lattice"])
    yield run.row("wake.speed.error_ours").measured(error["default"])
    share = error["coarse"] / error["lattice"]
    yield run.row("wake.speed.error_coarse").measured(share)
    yield run.row("wake.speed.error_lattice").measured(error["lattice"])
    yield run.row("wake.speed.whole").measured(120.0 * took["default"])


def _program(run: Run, folder: Path, name: str, options: list[str]) -> dict[str, Any]:
    """What a side says, kept."""
    path = run.scratch / f"{name}.json"
    if not path.exists():
        run.progress(f"running {name}")
        side = "lattice" if name.startswith("lattice") else "ours"
        command = [sys.executable, str(folder / f"_wake_{side}.py"), *options]
        text = printed(command, folder).strip().splitlines()[-1]
        with replacing(path) as out:
            out.write_text(text, encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))
