"""Which flow around a cylinder, how finely it is computed, what is kept of it."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
from jaxtyping import Float

from .._checks import choice, fields_whole, not_negative, positive, whole
from .._errors import ConfigError, DataWarning
from ._cylinder_grid import RADIUS, CylinderMesh
from ._kept_wake import settings_key


CYLINDER_PRESETS = {
    "fast": CylinderMesh(80, 160, 0.00625),
    "check": CylinderMesh(96, 192, 0.005),
    "reference": CylinderMesh(120, 240, 0.2 / 48),
}
"""Meshes by name; docs/wake.md says what each gives."""

LARGEST_RE = 1000.0
PLANE_RE = 190.0  # above, real wakes are three-dimensional
CHANNELS = {"vorticity": "U/D", "u": "U", "v": "U"}
# phase -> first snapshot [D/U], snapshots, trigger [U]. A weak trigger leaves the wake
# nearly steady at t = 10, and its swings have grown up at 50; a strong one saves that.
PHASES = {"periodic": (90.0, 151, 0.3), "transient": (10.0, 251, 0.01)}
# the papers' grid: first node, spacing, nodes of x and y
_X, _Y, _CELL = (-0.98, 449), (-1.98, 199), 0.02


@dataclasses.dataclass(frozen=True)
class CylinderConfig:
    """A flow around a cylinder and the snapshots that are kept of it. Lengths in
    diameters D, speeds in the stream's U, times in D/U.

    ```python
    >>> from pendula.systems import CylinderConfig
    >>> config = CylinderConfig(re=60, phase="transient", spacing=0.5, num=101)
    >>> config.times[[0, -1]].tolist(), len(config.x), len(config.y)
    ([10.0, 60.0], 449, 199)

    ```
    """

    re: float = 100.0
    """Reynolds number U D / nu, above 0 and up to 1000; shedding sets in between 45 and
    50, and above about 190 a real wake is no longer plane."""
    rotation: float = 0.0
    """Rate at which the cylinder turns, counterclockwise [U/D]: its surface moves at
    half of it."""
    preset: str = "fast"
    """Resolution: one of `CYLINDER_PRESETS`."""
    mesh: CylinderMesh | None = None
    """A resolution of your own instead."""
    phase: str = "periodic"
    """`"periodic"`: from t = 90 on, 151 snapshots; `"transient"`: from t = 10 on, 251,
    while the shedding grows out of a nearly steady wake."""
    channels: tuple[str, ...] = ("vorticity",)
    """Of `vorticity`, `u`, `v`."""
    num: int | None = None
    """Snapshots; default by phase."""
    spacing: float = 0.2
    """Between snapshots; cut into equal steps no longer than the mesh's dt."""
    start: float | None = None
    """Time of the first snapshot, rounded to whole steps; default by phase."""
    trigger: float | None = None
    """Largest speed of the stream from below that starts the shedding in 0 < t < 4 [U];
    default by phase: 0.3, or 0.01 for the transient."""
    coarsen: int = 1
    """Every how many-th node of the papers' grid is kept, each way."""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.re) and 0.0 < self.re <= LARGEST_RE):
            raise ConfigError(
                f"re is {self.re:g}; it must be above 0 and at most {LARGEST_RE:g}: "
                "a plane flow says nothing about a real one beyond. Lower it."
            )
        choice("preset", self.preset, CYLINDER_PRESETS)
        choice("phase", self.phase, PHASES)
        for name in self.channels:
            choice("channel", name, CHANNELS)
        for what, value in (("rotation", self.rotation), ("trigger", self.push)):
            if not np.isfinite(value):
                raise ConfigError(f"{what} is {value}; it must be finite.")
        if not self.channels or len(set(self.channels)) < len(self.channels):
            raise ConfigError(
                f"channels are {self.channels}; name at least one of "
                f"{', '.join(CHANNELS)}, each once."
            )
        positive(spacing=self.spacing)
        whole(1, num=self.count, coarsen=self.coarsen)
        not_negative(start=self.first)
        check_mesh(self.resolution)
        self.resolution.span(self.x, self.y)

    @property
    def push(self) -> float:
        """The trigger, its default by phase."""
        return PHASES[self.phase][2] if self.trigger is None else self.trigger

    @property
    def resolution(self) -> CylinderMesh:
        """The mesh: your own, or the preset's."""
        return CYLINDER_PRESETS[self.preset] if self.mesh is None else self.mesh

    @property
    def nu(self) -> float:
        """Viscosity."""
        return 1.0 / self.re

    @property
    def steps_between(self) -> int:
        """Time steps from a snapshot to the next."""
        return int(np.ceil(self.spacing / self.resolution.dt * (1.0 - 1e-12)))

    @property
    def dt(self) -> float:
        """The time step that is taken."""
        return self.spacing / self.steps_between

    @property
    def first(self) -> float:
        """When the first snapshot is asked for."""
        return PHASES[self.phase][0] if self.start is None else self.start

    @property
    def count(self) -> int:
        """Snapshots."""
        return PHASES[self.phase][1] if self.num is None else self.num

    @property
    def steps_before(self) -> int:
        """Time steps before the first snapshot."""
        return round(self.first / self.dt)

    @property
    def times(self) -> Float[np.ndarray, "time"]:
        """Of the snapshots."""
        steps = self.steps_before + self.steps_between * np.arange(self.count)
        return steps * self.spacing / self.steps_between

    @property
    def x(self) -> Float[np.ndarray, "x"]:
        """Downstream coordinates of the snapshots' grid; the cylinder is at 0."""
        return _nodes(*_X)[:: self.coarsen]

    @property
    def y(self) -> Float[np.ndarray, "y"]:
        """Coordinates across the stream."""
        return _nodes(*_Y)[:: self.coarsen]

    def key(self) -> str:
        """A hash of all that the snapshots depend on, the version of Pendula too."""
        told = dataclasses.asdict(self) | {
            "mesh": dataclasses.asdict(self.resolution),
            "num": self.count,
            "start": self.first,
            "trigger": self.push,
        }
        # 100 and 100.0, of Python or of NumPy, are one flow
        for name in ("re", "rotation", "spacing", "start", "trigger"):
            told[name] = float(told[name])
        return settings_key(told)

    def warn(self) -> None:
        """A `DataWarning` where the flow would not be plane."""
        if self.re > PLANE_RE:
            warnings.warn(
                f"re is {self.re:g}: above about {PLANE_RE:g} a real wake is "
                "three-dimensional; this one is computed in the plane.",
                DataWarning,
                stacklevel=3,
            )


def _nodes(first: float, count: int) -> np.ndarray:
    """Multiples of the cell without the error of adding it up."""
    return (round(first / _CELL) + np.arange(count)) / round(1.0 / _CELL)


def check_mesh(mesh: CylinderMesh) -> None:
    """**Raises:** `ConfigError` for a mesh that cannot be used."""
    fields_whole(mesh, "mesh", num_radial=8, num_angular=8)
    if mesh.num_angular % 2:
        raise ConfigError(
            f"a mesh of {mesh.num_angular} angles; an even number of them is needed."
        )
    positive(dt=mesh.dt)
    if not RADIUS < mesh.sponge_start < mesh.outer < np.inf:
        raise ConfigError(
            f"the sponge starts at {mesh.sponge_start:g}, the outer edge is "
            f"{mesh.outer:g}; they follow each other outside of the radius {RADIUS:g}."
        )
    if not (np.isfinite(mesh.sponge_rate) and mesh.sponge_rate >= 0.0):
        raise ConfigError(f"sponge_rate is {mesh.sponge_rate}; it is at least 0.")
