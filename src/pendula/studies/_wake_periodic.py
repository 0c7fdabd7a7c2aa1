"""Part `periodic` of study `wake`: the default data set at Re = 100."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..systems import CylinderConfig, CylinderMesh, cylinder_wake
from ._claim import Claim
from ._row import Row
from ._study import Run
from ._wake import LITERATURE, flow, preset, small, wake
from ._wake_figures import histories_figure, vorticity_figure, wake_film


_TRIED = "The default as the convergence study chose it."
_ROWS = (
    Row(
        "wake.periodic.st",
        "Strouhal number at Re = 100, over the sampled window t = 90 to 120.",
        better="within",
        target=(0.163, 0.167),
        source=LITERATURE,
        published=0.164,
        tried=_TRIED,
    ),
    Row(
        "wake.periodic.drag",
        "Mean C_D at Re = 100.",
        better="within",
        target=(1.31, 1.36),
        source=LITERATURE,
        published=1.33,
        tried=_TRIED,
    ),
    Row(
        "wake.periodic.lift_amplitude",
        "Amplitude of C_L at Re = 100.",
        better="within",
        target=(0.31, 0.345),
        source=LITERATURE,
        published=0.33,
        tried=_TRIED,
    ),
    Row(
        "wake.periodic.lift_mean",
        "|mean C_L| at Re = 100.",
        target=1e-3,
        tried=_TRIED,
    ),
    Row(
        "wake.periodic.period_change",
        "Longest less shortest period over their mean, t = 90 to 120.",
        target=1e-3,
        tried=_TRIED,
    ),
    Row(
        "wake.periodic.lift_rms",
        "Standard deviation of C_L at Re = 100.",
        source="Posdziech and Grundmann 2007",
        published=0.228,
    ),
    Row("wake.periodic.drag_amplitude", "Amplitude of C_D at Re = 100."),
    Row(
        "wake.periodic.largest_vorticity",
        "Largest |vorticity| on the papers' grid of 449 x 199 nodes.",
        "U/D",
    ),
    Row(
        "wake.periodic.pair_1",
        "Second singular value over the first, vorticity of 151 snapshots less its "
        "mean: modes of a travelling wave come in pairs.",
    ),
    Row("wake.periodic.pair_2", "Fourth singular value over the third."),
    Row("wake.periodic.third", "Third singular value over the first."),
    Row(
        "wake.periodic.megabytes",
        "Values of the vorticity, 151 snapshots as float32.",
        "MB",
    ),
)


@wake.part(
    "periodic",
    _ROWS,
    full={"mesh": preset("fast"), "start": 90.0, "num": 151, "coarsen": 1},
    quick={"mesh": small(), "start": 4.0, "num": 16, "coarsen": 4},
)
def periodic(run: Run) -> Iterator[Claim]:
    """The snapshots are in the cache afterwards."""
    s = run.settings
    mesh = CylinderMesh(**s["mesh"])
    config = CylinderConfig(
        mesh=mesh, start=s["start"], num=s["num"], coarsen=s["coarsen"]
    )
    end = float(config.times[-1])
    found = flow(run, "flow", s["mesh"], end)
    one = found.numbers(end - s["start"])
    yield run.row("wake.periodic.st").measured(one.strouhal)
    yield run.row("wake.periodic.drag").measured(one.drag)
    yield run.row("wake.periodic.lift_amplitude").measured(one.lift_amplitude)
    yield run.row("wake.periodic.lift_mean").measured(abs(one.lift))
    yield run.row("wake.periodic.period_change").measured(one.period_change)
    yield run.row("wake.periodic.lift_rms").measured(one.lift_rms)
    yield run.row("wake.periodic.drag_amplitude").measured(one.drag_amplitude)
    run.progress("snapshots")
    data = cylinder_wake(_by_name(config))
    yield run.row("wake.periodic.largest_vorticity").measured(
        float(np.abs(data.values).max())
    )
    sizes = _singular_values(data.flat())
    yield run.row("wake.periodic.pair_1").measured(sizes[1] / sizes[0])
    yield run.row("wake.periodic.pair_2").measured(sizes[3] / sizes[2])
    yield run.row("wake.periodic.third").measured(sizes[2] / sizes[0])
    yield run.row("wake.periodic.megabytes").measured(data.values.nbytes / 1e6)
    vorticity_figure(run.figures / "vorticity.png", data)
    wake_film(run.figures / "wake.webp", data)
    histories_figure(run.figures / "forces.svg", found.ts, found.drag, found.lift)


def _by_name(config: CylinderConfig) -> CylinderConfig:
    """With the mesh by its name where it has one, so that the snapshots are those of
    whoever asks for the default."""
    plain = dataclasses.replace(config, mesh=None)
    return plain if plain.resolution == config.mesh else config


def _singular_values(rows: np.ndarray) -> Any:
    """Of the snapshots less their mean, by the small matrix of their products."""
    centred = rows - rows.mean(axis=0, dtype=np.float64)
    squares = np.linalg.eigvalsh(centred @ centred.T)[::-1]
    return np.sqrt(np.maximum(squares, 0.0))
