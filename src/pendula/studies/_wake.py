"""Study `wake`: the flow around a cylinder that Pendula makes its own data with."""

from __future__ import annotations

import dataclasses
from typing import Any

from .._errors import DivergedError
from ..systems import (
    CYLINDER_PRESETS,
    CylinderConfig,
    CylinderMesh,
    WakeNumbers,
    simulate_cylinder,
    wake_numbers,
)
from ._study import Run, study


wake = study(
    "wake",
    "The wake of a cylinder by series in the polar plane: convergence, forces and "
    "frequency against the literature, steady flow and onset, speed beside a lattice "
    "Boltzmann method.",
)
LITERATURE = "Williamson 1989; Park et al. 1998; Posdziech and Grundmann 2007"


def preset(name: str) -> dict[str, Any]:
    """A mesh as plain settings, which a row that is done is known by."""
    return dataclasses.asdict(CYLINDER_PRESETS[name])


def small() -> dict[str, Any]:
    """The mesh of the quick budget: it shows the code, not the flow."""
    return dataclasses.asdict(CylinderMesh(32, 64, 0.0125, 20.0, 8.0))


@dataclasses.dataclass(frozen=True)
class Flow:
    """A computed flow: forces after each step, modes at its end."""

    mesh: CylinderMesh
    ts: Any
    drag: Any
    lift: Any
    psi: Any

    def numbers(self, window: float, end: float | None = None) -> WakeNumbers:
        """Of the last `window` before `end` (default: the flow's)."""
        last = self.ts[-1] if end is None else end
        seen = (self.ts >= last - window - 1e-9) & (self.ts <= last + 1e-9)
        return wake_numbers(self.ts[seen], self.drag[seen], self.lift[seen])


def flow(run: Run, name: str, mesh: dict[str, Any], until: float, **how: Any) -> Flow:
    """A flow from rest to `until`, once: a part that was killed finds it again.

    **Arguments:** `how`: Re and the like, as `CylinderConfig` takes them.
    **Raises:** `DivergedError` when it blows up.
    """
    resolution = CylinderMesh(**mesh)
    config = CylinderConfig(mesh=resolution, start=until, num=1, **how)

    def compute() -> dict[str, Any]:
        said = [0.0]

        def tell(t: float, drag: float, lift: float) -> None:
            if t >= said[0] + 25.0:
                said[0] = t
                run.progress(f"{name}: t = {t:.0f}, C_D {drag:.4f}, C_L {lift:+.4f}")

        found = simulate_cylinder(config, tell=tell)
        fields = {"ts": found.step_ts, "drag": found.drag, "lift": found.lift}
        return {**fields, "psi": found.psi[-1]}

    kept = run.keep(name, compute)
    return Flow(resolution, kept["ts"], kept["drag"], kept["lift"], kept["psi"])


def flow_or_none(
    run: Run, name: str, mesh: dict[str, Any], until: float, **how: Any
) -> Flow | None:
    """The same; None where it blows up."""
    try:
        return flow(run, name, mesh, until, **how)
    except DivergedError as error:
        run.progress(f"{name}: {error}")
        return None
