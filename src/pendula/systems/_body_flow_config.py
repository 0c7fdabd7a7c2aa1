"""Which flow past a body, how finely it is computed, and what is kept of it."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from .._checks import choice, fields_whole, not_negative, positive
from .._errors import ConfigError
from ._body_shapes import AbstractBody, EllipseBody
from ._kept_wake import settings_key


_REAL_AXIS = 2.5  # of Heun's third-order scheme
_IMAGINARY_AXIS = 1.73
_FASTEST = 1.6  # U: of a stream that goes around a body
_FRINGE = 4.0  # U/D: largest rate in the fringe
_LARGEST_RE = 300.0  # what 16 cells a width resolve


@dataclasses.dataclass(frozen=True)
class BodyFlowConfig:
    """A flow past a body and the snapshots that are kept of it. Lengths in the body's
    width D, speeds in the stream's U, times in D/U.

    ```python
    >>> from pendula.systems import BodyFlowConfig, SquareBody
    >>> config = BodyFlowConfig(SquareBody(), cells=12, num=50)
    >>> len(config.x), len(config.y), config.times[[0, -1]].round(1).tolist()
    (216, 120, [60.0, 69.8])

    ```
    """

    body: AbstractBody | None = dataclasses.field(default_factory=EllipseBody)
    """The body; None: the stream alone."""
    re: float = 100.0
    """Reynolds number U D / nu, above 0 and up to 300."""
    cells: int = 16
    """Cells to a width D, at least 4."""
    length: float = 18.0
    """Of the box along the stream [D]."""
    width: float = 10.0
    """Of the box across the stream [D]: the body and its images in y block 1 / width
    of the stream."""
    upstream: float = 5.0
    """From the box's upstream end to the centre of the body [D]."""
    fringe: float = 3.0
    """Length of the fringe before the downstream end [D]; 0: none."""
    penalty: float = 0.01
    """Time in which the body stops the fluid inside, eta [D/U]."""
    dt: float = 0.02
    """Longest time step."""
    push: float = 0.3
    """Speed of the eddy behind the body that starts the shedding [U]."""
    start: float = 60.0
    """Time of the first snapshot, rounded to whole spacings."""
    num: int = 400
    """Snapshots."""
    spacing: float = 0.2
    """Between snapshots; cut into equal steps no longer than dt."""
    window: tuple[float, float, float, float] = (-1.0, 7.0, -2.0, 2.0)
    """Part of the box that is kept: least and largest x, then y [D]."""
    dtype: str = "float32"
    """`float32` or `float64`."""

    def __post_init__(self) -> None:
        self._check_numbers()
        for what, size in (("length", self.length), ("width", self.width)):
            nodes = size * self.cells
            if abs(nodes - round(nodes)) > 1e-6 or round(nodes) % 2:
                raise ConfigError(
                    f"{what} {size:g} D at {self.cells} cells a width is {nodes:g} "
                    "cells; it must be an even whole number. Change one of both."
                )
        room = self.length - self.upstream - self.fringe
        if self.fringe and (room < 2.0 or self.upstream < 1.0):
            raise ConfigError(
                f"length {self.length:g} leaves {room:g} D between the body and the "
                f"fringe of {self.fringe:g} D, and upstream is {self.upstream:g} D; "
                "at least 2 D and 1 D are needed. Take a longer box."
            )
        left, right, low, high = self.window
        inside = -self.upstream <= left < right <= room and (
            -self.width / 2 <= low < high <= self.width / 2
        )
        if not inside:
            raise ConfigError(
                f"window {self.window} must lie within x {-self.upstream:g} to "
                f"{room:g} (the fringe is no flow) and y {-self.width / 2:g} to "
                f"{self.width / 2:g}, least before largest."
            )
        if min(right - left, high - low) < self.cell:
            raise ConfigError(
                f"window {self.window} is narrower than a cell of {self.cell:g} D. "
                "Widen it."
            )
        self._check_step()

    def _check_numbers(self) -> None:
        if not (np.isfinite(self.re) and 0.0 < self.re <= _LARGEST_RE):
            raise ConfigError(
                f"re is {self.re:g}; it must be above 0 and at most {_LARGEST_RE:g}: "
                "coarse grids do not resolve more. Lower it."
            )
        positive(
            length=self.length,
            width=self.width,
            penalty=self.penalty,
            dt=self.dt,
            spacing=self.spacing,
        )
        not_negative(upstream=self.upstream, fringe=self.fringe, start=self.start)
        if not np.isfinite(self.push):
            raise ConfigError(f"push is {self.push}; it must be finite.")
        fields_whole(self, "", cells=4, num=1)
        choice("dtype", self.dtype, ("float32", "float64"))
        if self.body is not None and not isinstance(self.body, AbstractBody):
            raise ConfigError(
                f"body is {self.body!r}; expected EllipseBody, SquareBody, StarBody or "
                "None."
            )
        if len(self.window) != 4:
            raise ConfigError(
                f"window {self.window} has {len(self.window)} numbers; expected 4, "
                "least and largest x, then y."
            )

    def _check_step(self) -> None:
        """Longest steps of an explicit scheme: for the body, and for the stream."""
        largest = 2.0 / 3.0 * np.pi * self.cells
        limits = {"the stream crosses a cell": _IMAGINARY_AXIS / largest / _FASTEST}
        if self.body is not None:
            limits["the body stops the fluid"] = _REAL_AXIS * self.penalty
        for why, limit in limits.items():
            if self.step > limit:
                raise ConfigError(
                    f"the step {self.step:.4g} is longer than {limit:.4g}, the time in "
                    f"which {why}: the flow would blow up. Take dt = {limit:.2g} or "
                    "less"
                    + (
                        ", or a larger penalty."
                        if "body" in why
                        else ", or fewer cells."
                    )
                )

    @property
    def cell(self) -> float:
        """Distance of nodes."""
        return 1.0 / self.cells

    @property
    def x(self) -> Float[np.ndarray, " x"]:
        """Nodes along the stream, the body's centre at 0."""
        return np.arange(round(self.length * self.cells)) * self.cell - self.upstream

    @property
    def y(self) -> Float[np.ndarray, " y"]:
        """Nodes across the stream, symmetric about the body's centre at 0."""
        n = round(self.width * self.cells)
        return (np.arange(n) - n // 2) * self.cell

    @property
    def fringe_rate(self) -> Float[np.ndarray, " x"]:
        """lambda(x): a bump before the downstream end."""
        if self.fringe == 0.0:
            return np.zeros(len(self.x))
        share = (self.x + self.upstream - (self.length - self.fringe)) / self.fringe
        bump = np.sin(np.pi * np.clip(share, 0.0, 1.0)) ** 2
        return _FRINGE * bump

    @property
    def steps_between(self) -> int:
        """Time steps from a snapshot to the next."""
        return int(np.ceil(self.spacing / self.dt * (1.0 - 1e-12)))

    @property
    def step(self) -> float:
        """The time step that is taken."""
        return self.spacing / self.steps_between

    @property
    def spacings_before(self) -> int:
        """Spacings from rest to the first snapshot."""
        return round(self.start / self.spacing)

    @property
    def times(self) -> Float[np.ndarray, " time"]:
        """When snapshots are taken."""
        return (self.spacings_before + np.arange(self.num)) * self.spacing

    @property
    def kept(self) -> tuple[slice, slice]:
        """The nodes of the window."""
        left, right, low, high = self.window
        out = []
        for nodes, least, most in ((self.x, left, right), (self.y, low, high)):
            seen = np.flatnonzero((nodes >= least - 1e-9) & (nodes <= most + 1e-9))
            out.append(slice(int(seen[0]), int(seen[-1]) + 1))
        return out[0], out[1]

    def key(self) -> str:
        """What the cache knows it by: all settings and the version."""
        told = dataclasses.asdict(self) | {"body": repr(self.body)}
        # 100 and 100.0, of Python or of NumPy, are one flow
        for field in dataclasses.fields(self):
            if isinstance(field.default, float):
                told[field.name] = float(told[field.name])
        told["window"] = [float(x) for x in self.window]
        return settings_key(told)
