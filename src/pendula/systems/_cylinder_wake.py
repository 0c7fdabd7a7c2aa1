"""The wake of a cylinder: computed, and as snapshots that are kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from .._errors import DivergedError
from .._precision import precision, to_host
from ..data import Snapshots
from ._cylinder_config import CHANNELS, CylinderConfig
from ._cylinder_flow import CylinderFlow, FlowState
from ._cylinder_numbers import (
    WakeNumbers,
    angular_tail,
    step_limit,
    warn_coarse,
)
from ._cylinder_sample import WakeSampler
from ._kept_wake import (
    kept_snapshots,
    stretch_numbers,
    wake_attrs,
    warn_unsettled,
)


LARGEST_DRAG, CREEPING = 10.0, 60.0  # C_D, and over Re where viscosity rules
UP = 1.0  # D/U after which the stream is up: its start alone gives a C_D of 9
CHUNK = (16, 128)  # steps between two looks at the forces, at least and at most

Tell = Callable[[float, float, float], None]


@dataclasses.dataclass(frozen=True)
class CylinderRun:
    """A computed wake: modes of vorticity and stream function of each snapshot at `ts`,
    `"time part mode node"`, and the forces after every step from the start on, C_D and
    C_L at `step_ts`."""

    config: CylinderConfig
    ts: Float[np.ndarray, "time"]
    omega: Float[np.ndarray, "time part mode node"]
    psi: Float[np.ndarray, "time part mode node"]
    step_ts: Float[np.ndarray, "step"]
    drag: Float[np.ndarray, "step"]
    lift: Float[np.ndarray, "step"]

    def numbers(
        self, start: float | None = None, end: float | None = None
    ) -> WakeNumbers:
        """Frequency and forces from `start` to `end` (default: the snapshots')."""
        return stretch_numbers(self, start, end)


def simulate_cylinder(
    config: CylinderConfig | None = None, *, tell: Tell | None = None
) -> CylinderRun:
    """The flow around a cylinder from rest, in float64.

    **Arguments:** `config`; `tell`: is told t, C_D and C_L as the flow goes on.
    **Raises:** `DivergedError` when |C_D| exceeds 10 (60 / Re below Re = 6) or a force
    is not a number, with the step that would do.
    **Source:** as for `CylinderFlow`.

    ```python
    >>> from pendula.systems import CylinderConfig, CylinderMesh, simulate_cylinder
    >>> mesh = CylinderMesh(24, 32, 0.02, outer=20.0, sponge_start=12.0)
    >>> config = CylinderConfig(re=20, mesh=mesh, start=0.0, num=11)
    >>> run = simulate_cylinder(config)
    >>> run.omega.shape, float(run.ts[-1]), bool(2 < run.drag[-1] < 4)
    ((11, 2, 11, 25), 2.0, True)

    ```
    """
    config = CylinderConfig() if config is None else config
    config.warn()
    run = _simulated(config, tell)
    warn_coarse(angular_tail(run.omega))
    return run


def _simulated(config: CylinderConfig, tell: Tell | None) -> CylinderRun:
    with precision(np.float64):
        flow = CylinderFlow(
            config.resolution,
            config.nu,
            dt=config.dt,
            rotation=config.rotation,
            trigger=config.push,
        )
        pace = _Pace(config, tell or (lambda t, drag, lift: None))
        kept = list(_snapshots(flow, config, pace))
    omega, psi = (np.stack(fields) for fields in zip(*kept, strict=True))
    forces = np.concatenate([np.zeros((0, 2)), *pace.forces])
    ts = np.arange(1, len(forces) + 1) * config.spacing / config.steps_between
    return CylinderRun(config, config.times, omega, psi, ts, *forces.T)


def _snapshots(
    flow: CylinderFlow, config: CylinderConfig, pace: _Pace
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Vorticity and stream function of each snapshot."""
    state, per = flow.start(), config.steps_between
    chunk = int(np.clip(per, *CHUNK))
    for index in range(config.count):
        left = config.steps_before if index == 0 else per
        if left and not pace.forces:
            state = pace.look(_first(flow, state), state)
            left -= 1
        while left:
            steps = min(left, chunk)
            state = pace.look(_many(flow, state, steps), state)
            left -= steps
        yield np.asarray(state.omega), np.asarray(state.psi)


@eqx.filter_jit
def _first(flow: CylinderFlow, state: FlowState) -> tuple[FlowState, Any]:
    state, force = flow.first_step(state)
    return state, force[None]


@eqx.filter_jit
def _many(flow: CylinderFlow, state: FlowState, steps: int) -> tuple[FlowState, Any]:
    return flow.run(state, steps)


@dataclasses.dataclass
class _Pace:
    """Looks at the forces as the flow goes on."""

    config: CylinderConfig
    tell: Tell
    forces: list[np.ndarray] = dataclasses.field(default_factory=list)
    steps: int = 0

    def look(self, found: tuple[FlowState, Any], before: FlowState) -> FlowState:
        """Keep the forces of a chunk, or stop."""
        state, forces = found[0], to_host(found[1])
        ts = (self.steps + 1 + np.arange(len(forces))) * self.config.dt
        bad = ~np.isfinite(forces).all(axis=1)
        bad |= (np.abs(forces[:, 0]) > self._most) & (ts > UP)
        if bad.any():
            k = int(np.argmax(bad))
            raise DivergedError(self._why(ts[k], forces[k, 0], before))
        self.steps += len(forces)
        self.forces.append(forces)
        self.tell(float(ts[-1]), *map(float, forces[-1]))
        return state

    @property
    def _most(self) -> float:
        """What the drag of a real flow stays below."""
        return max(LARGEST_DRAG, CREEPING / self.config.re)

    def _why(self, t: float, drag: float, before: FlowState) -> str:
        mesh = self.config.resolution
        limit = step_limit(mesh, np.asarray(before.psi))
        return (
            f"the flow blew up at t = {t:.4g}: C_D is {drag:.3g}, and stays below "
            f"{self._most:g} in a real one. dt = {self.config.dt:.4g} is too long: "
            f"with {mesh.num_angular} angles the limit, about 0.5 r dtheta / |u|, was "
            f"{limit:.2g} shortly before; or the mesh is too coarse for this Reynolds "
            f"number. Take dt = {0.5 * min(self.config.dt, limit):.2g}; where that is "
            "not enough, more angles and radii too."
        )


def cylinder_wake(
    config: CylinderConfig | None = None,
    *,
    tell: Tell | None = None,
    again: bool = False,
) -> Snapshots:
    """Snapshots of the wake of a cylinder; computed once, then read from the cache.

    **Shapes and units**: values `"time x y chan"` float32; x and y in diameters D, the
    cylinder of radius 0.5 at (0, 0), vorticity in U/D, velocity in U, times in D/U.
    Inside of the cylinder the mask is False and the values are 0.
    **Arguments:** `config`: default Re = 100, periodic shedding on the papers' grid;
    `tell`: is told t, C_D and C_L as the flow goes on; `again`: compute even if it is
    in the cache.
    **Returns:** `Snapshots`; `attrs` hold Re, the Strouhal number, forces and settings.
    Warns (`DataWarning`) where the swings of the lift still grow or die out, and where
    the mesh is too coarse: the highest modes hold more than a tenth (`angular tail`).
    **Raises:** `DivergedError` as for `simulate_cylinder`.
    **Source:** as for `CylinderFlow`; the grid of the data set is that of Erichson et
    al., arXiv:1902.07358 and arXiv:1905.10866.

    ```python
    >>> from pendula.systems import CylinderConfig, CylinderMesh, cylinder_wake
    >>> mesh = CylinderMesh(24, 32, 0.02, outer=20.0, sponge_start=12.0)
    >>> config = CylinderConfig(re=20, mesh=mesh, start=1.0, num=6, coarsen=10)
    >>> data = cylinder_wake(config)
    >>> data.values.shape, data.dt, data.names
    ((6, 45, 20, 1), 0.2, ('vorticity',))

    ```
    """
    config = CylinderConfig() if config is None else config
    config.warn()
    make = lambda: wake_snapshots(_simulated(config, tell))
    data = kept_snapshots("cylinder", config.key(), again, make)
    warn_coarse(data.attrs.get("angular tail", 0.0))
    return warn_unsettled(data)


def wake_snapshots(run: CylinderRun) -> Snapshots:
    """The snapshots of a run, on the grid of its configuration."""
    config, mesh = run.config, run.config.resolution
    sampler = WakeSampler(mesh, config.x, config.y)
    shape = (len(run.ts), *sampler.mask.shape, len(config.channels))
    values = np.zeros(shape, np.float32)
    moves = {"u", "v"} & set(config.channels)
    for k, (omega, psi) in enumerate(zip(run.omega, run.psi, strict=True)):
        fields = {}
        if "vorticity" in config.channels:
            fields["vorticity"] = sampler.vorticity(omega)
        if moves:
            fields["u"], fields["v"] = sampler.velocity(psi)
        for c, name in enumerate(config.channels):
            values[k, ..., c] = fields[name]
    return Snapshots.of(
        run.ts,
        values,
        axes={"x": config.x, "y": config.y},
        mask=sampler.mask,
        names=tuple(config.channels),
        units=tuple(CHANNELS[name] for name in config.channels),
        axis_units=("D", "D"),
        time_unit="D/U",
        attrs=_attrs(run),
        licence="generated",
        origin={"made by": "pendula.systems.cylinder_wake", "key": config.key()},
    )


def _attrs(run: CylinderRun) -> dict[str, Any]:
    """What is known of the set, as numbers and words that a file can hold."""
    config, mesh = run.config, run.config.resolution
    settings: dict[str, Any] = {
        "Re": float(config.re),
        "rotation": float(config.rotation),
        "phase": config.phase,
        "trigger": float(config.push),
        "preset": config.preset if config.mesh is None else "own mesh",
        "dt": config.dt,
        "num_radial": mesh.num_radial,
        "num_angular": mesh.num_angular,
        "outer": float(mesh.outer),
        "angular tail": angular_tail(run.omega),
    }
    found = run.numbers() if config.phase == "periodic" and len(run.ts) > 1 else None
    return wake_attrs(settings, found)
