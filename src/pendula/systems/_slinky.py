"""The Slinky: a helical spring as an elastic rod, its cycles as bars in a plane, and
the helix again from the bars."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .._checks import fields_positive, whole
from .._errors import ConfigError, DataError
from ._elastic_rod import ElasticRod, RodState, Section
from ._rod_contact import Contact
from ._rod_rest import rest_rod
from ._rod_simulate import RodRun, simulate_rod
from ._rod_step import Boundary


_DOWN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
AROUND = 16  # nodes to a cycle
GRAVITY = 9.8
Bars = Float[np.ndarray, "*lead bar 3"]
AXIS = np.array([1.0, 0.0, 0.0])
SPAN = 0.35 / 76  # m to a cycle of the horizontal start


@dataclasses.dataclass(frozen=True)
class Slinky:
    r"""A helix of `cycles` turns with P = 16 nodes each, along x.

    $$ x_k = (p\,k/P,\; R \cos(2\pi k/P),\; R \sin(2\pi k/P)) $$

    SI units. `radius` R and `pitch` p of the helix at rest; `wire` radius, `youngs`
    modulus, Poisson ratio, density: a cycle weighs 2.5 g, and pulls with k1 =
    $G d^4/(64 R^3)$ = 65 N/m; or another `section`, whose m1 lies along the axis: EI1
    is that of cycles which tilt, EI2 that of rings which open.
    **Source:** Wang 2023, chapter 3, for radius, mass and gravity; the rest is ours.

    ```python
    >>> from pendula.systems import Slinky
    >>> slinky = Slinky(cycles=2)
    >>> slinky.rod().number, round(1e3 * slinky.cycle_mass, 4)
    (33, 2.5)

    ```
    """

    cycles: int = 76
    radius: float = 0.033
    pitch: float = 0.7e-3
    wire: float = 0.78189e-3
    youngs: float = 65e9
    poisson: float = 0.3
    density: float = 6318.3
    section: Section | None = None

    def __post_init__(self) -> None:
        whole(2, cycles=self.cycles)
        fields_positive(self, "", "radius", "pitch", "wire", "youngs", "density")

    @property
    def wire_length(self) -> float:
        """Wire of one cycle, a polygon [m]."""
        chord = 2.0 * self.radius * np.sin(np.pi / AROUND)
        return AROUND * float(np.hypot(chord, self.pitch / AROUND))

    @property
    def cycle_mass(self) -> float:
        """Mass of one cycle [kg]."""
        return self.wire_length * float(np.mean(self.own_section.line_mass))

    @property
    def own_section(self) -> Section:
        """The wire's section."""
        if self.section is not None:
            return self.section
        return Section.circular(self.wire, self.youngs, self.density, self.poisson)

    def points(self, pitch: float | None = None) -> Float[np.ndarray, "node 3"]:
        """Nodes of the helix with a pitch (default: at rest)."""
        k = np.arange(AROUND * self.cycles + 1)
        angle = 2.0 * np.pi * k / AROUND
        p = self.pitch if pitch is None else pitch
        ring = self.radius * np.cos(angle), self.radius * np.sin(angle)
        return np.stack([p * k / AROUND, *ring], axis=1)

    def rod(self, span: float | None = None, *, down: bool = False) -> ElasticRod:
        """The rod along x, or `down` (along -y), drawn out evenly to a span [m]
        (default: as it rests).

        **Raises:** `ConfigError` for a span that is longer than the wire.
        """
        turn = _DOWN if down else np.eye(3)
        rest = self.points() @ turn
        own: dict[str, Any] = {}
        if self.section is not None:  # a round wire has no sides
            own["directors"] = np.tile(AXIS @ turn, (len(rest) - 1, 1))
        if span is None:
            return ElasticRod.from_points(rest, self.own_section, **own)
        if not 0.0 < span < self.cycles * self.wire_length:
            raise ConfigError(
                f"span is {span:g} m; it must be greater than 0 and less than the "
                f"wire, {self.cycles * self.wire_length:.4g} m."
            )
        drawn = self.points(span / self.cycles) @ turn
        return ElasticRod.from_points(drawn, self.own_section, rest=rest, **own)

    def contact(self, cycles: float = 10.0) -> Contact:
        """Contact of neighbouring cycles, as stiff as carries the weight of some cycles
        in the middle of its margin."""
        margin = 2e-4
        d = 0.5 * margin
        push = (d - margin) * (2.0 * np.log(d / margin) - margin / d + 1.0)
        weight = cycles * self.cycle_mass * GRAVITY
        # both kinds of candidates push along the wire of a cycle
        stiffness = weight / (2.0 * self.wire_length * abs(push))
        return Contact.of(stiffness, margin=margin, around=AROUND)

    def clamps(
        self,
        rod: ElasticRod,
        *,
        first: bool = True,
        last: bool = True,
        by: str = "cycle",
    ) -> Boundary:
        """Both ends or one of them clamped.

        `cycle`: the first bar's nodes (0 to 8) and all from the last bar's top on, so
        that end bars stay; `ring`: up to the middle of the first cycle and from that of
        the last one on (`Rings.clamped`); `edge`: two nodes and the angle between them.
        """
        half = AROUND // 2 + 1
        held = {"cycle": (half, AROUND + 1), "ring": (half, half), "edge": (2, 2)}
        if by not in held:
            raise ConfigError(
                f'clamps by "{by}" are unknown. Allowed: {", ".join(held)}.'
            )
        n = rod.number
        low, high = held[by]
        nodes: list[int] = []
        edges: list[int] = []
        if first:
            nodes += range(low)
            edges += range(low - 1)
        if last:
            nodes += range(n - high, n)
            edges += range(n - high, n - 1)
        return Boundary.of(rod, nodes, edges)

    def horizontal(
        self, span: float | None = None, *, last: bool = True, by: str = "cycle"
    ) -> tuple[ElasticRod, RodState, Boundary]:
        """Drawn out along x to a span (default 0.35 m for 76 cycles), at rest between
        clamps without gravity; then the last end may be let go."""
        rod = self.rod(SPAN * self.cycles if span is None else span)
        return rod, self._drawn(rod, by), self.clamps(rod, last=last, by=by)

    def vertical(
        self, span: float | None = None, *, last: bool = False, by: str = "cycle"
    ) -> tuple[ElasticRod, RodState, Boundary]:
        """Hanging down (along -y) from its first end: as it rests, or drawn out to a
        span like `horizontal`; then the last end may be let go."""
        rod = self.rod(span, down=True)
        state = rod.start if span is None else self._drawn(rod, by)
        return rod, state, self.clamps(rod, last=last, by=by)

    def _drawn(self, rod: ElasticRod, by: str) -> RodState:
        """At rest between its clamps without gravity."""
        return rest_rod(
            rod,
            boundary=self.clamps(rod, by=by),
            gravity=(0.0, 0.0, 0.0),
            increments=1,
            tolerance=1e-9,
        )


def drop(
    rod: ElasticRod,
    state: RodState,
    boundary: Boundary,
    t_end: float,
    dt: float = 1e-3,
    **options: object,
) -> RodRun:
    """The motion under gravity along -y; options of `simulate_rod`."""
    settings: dict = {"gravity": (0.0, -GRAVITY, 0.0), "tolerance": 1e-9} | options
    return simulate_rod(rod, t_end, dt, state=state, boundary=boundary, **settings)


def settled(
    rod: ElasticRod, state: RodState, boundary: Boundary, drag: float = 0.1
) -> RodState:
    """The rod at rest under gravity along -y.

    The way there is long and bent: the rod sinks through a thick fluid (`drag`
    [N s/m^2], 4 s in steps of 10 ms), then Newton's method finds the rest.
    **Raises:** `DivergedError` where it does not.
    """
    options: dict = {"integrator": "backward_euler", "drag": drag, "save_every": 400}
    sunk = drop(rod, state, boundary, 4.0, 0.01, strict=True, **options)
    return rest_rod(
        rod,
        state=sunk.state,
        boundary=boundary,
        gravity=(0.0, -GRAVITY, 0.0),
        increments=1,
        tolerance=1e-9,
    )


def to_bars(
    nodes: Float[np.ndarray, "*lead node 3"],
    rates: Float[np.ndarray, "*lead node 3"] | None = None,
) -> tuple[Bars, Bars | None]:
    r"""Bars u_i = (x, y, alpha) of the cycles, and their rates.

    Top $T_i$ (node 16 i) and bottom $B_i$ (node 16 i + 8):
    $c = (T + B)/2$, $T - c \propto (-\sin\alpha, \cos\alpha)$, alpha continuous along
    the bars and along the axis before them (time); $\dot\alpha = (T - B) \times
    (\dot T - \dot B)/|T - B|^2$.
    **Raises:** `DataError` for nodes that are no whole cycles, or other rates.
    **Source:** Wang 2023, figure 3.3.
    """
    nodes = np.asarray(nodes, np.float64)
    bad = nodes.ndim < 2 or nodes.shape[-1] != 3 or (nodes.shape[-2] - 1) % AROUND
    if bad or nodes.shape[-2] < AROUND + 1:
        raise DataError(
            f"nodes has shape {nodes.shape}; whole cycles have 16 nodes each and one "
            "at the end, (.., 16 cycles + 1, 3)."
        )
    top, bottom = _ends(nodes)
    along = top - bottom
    alpha = np.arctan2(-along[..., 0], along[..., 1])
    alpha = np.unwrap(alpha, axis=-1)
    if alpha.ndim > 1:
        turns = np.unwrap(alpha[..., 0], axis=-1) - alpha[..., 0]
        alpha = alpha + turns[..., None]
    bars = np.concatenate([0.5 * (top + bottom), alpha[..., None]], axis=-1)
    if rates is None:
        return bars, None
    if np.shape(rates) != nodes.shape:
        raise DataError(
            f"rates has shape {np.shape(rates)}, nodes {nodes.shape}; every node has "
            "one."
        )
    v_top, v_bottom = _ends(np.asarray(rates, np.float64))
    turn = v_top - v_bottom
    spin = along[..., 0] * turn[..., 1] - along[..., 1] * turn[..., 0]
    spin = spin / np.sum(along**2, axis=-1)
    return bars, np.concatenate([0.5 * (v_top + v_bottom), spin[..., None]], axis=-1)


def _ends(nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) of tops and bottoms."""
    flat = nodes[..., :2]
    half = AROUND // 2
    return flat[..., 0:-1:AROUND, :], flat[..., half::AROUND, :]


def bar_ends(
    bars: ArrayLike, radius: float = 0.033
) -> tuple[Float[np.ndarray, "*lead bar 2"], Float[np.ndarray, "*lead bar 2"]]:
    """Top and bottom of each of the bars `"*lead bar 3"`. **Raises:** `DataError` for
    an array of another shape."""
    bars = np.asarray(bars)
    if bars.ndim < 2 or bars.shape[-1] != 3:
        raise DataError(
            f"bars has shape {bars.shape}; expected (.., bar, 3): x, y, alpha of each."
        )
    arm = radius * np.stack([-np.sin(bars[..., 2]), np.cos(bars[..., 2])], axis=-1)
    return bars[..., :2] + arm, bars[..., :2] - arm


def bar_distance(a: Bars, b: Bars, radius: float = 0.033) -> Float[np.ndarray, "*lead"]:
    """Mean distance of the tops and bottoms of bars from those of others [m].

    **Source:** Wang 2023, figure 3.14f.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import bar_distance
    >>> a = np.zeros((4, 3))
    >>> round(float(bar_distance(a, a + np.array([3e-3, 4e-3, 0.0]))), 6)
    0.005

    ```
    """
    pairs = zip(bar_ends(a, radius), bar_ends(b, radius), strict=True)
    gaps = [np.linalg.norm(p - q, axis=-1) for p, q in pairs]
    return np.asarray(np.mean(gaps, axis=(0, -1)))


def from_bars(
    bars: ArrayLike, radius: float = 0.033, samples: int = 9
) -> Float[np.ndarray, "*lead cycle sample 3"]:
    r"""The helix again, a cycle between each bar `"*lead bar 3"` and the next.

    A half circle from the top to the bottom of bar i, then one from there to the top of
    bar i + 1, out of the plane: $c + (P - c)\cos\phi \pm R \sin\phi\, e_z$ with c
    between both ends, P the first; `samples` points each (9: the nodes of the rod, the
    bottom once).
    **Raises:** `DataError` for bars of another shape; `ConfigError` for fewer than two
    samples.
    **Source:** Wang 2023, figure 3.3.
    """
    whole(2, samples=samples)
    top, bottom = bar_ends(bars, radius)
    phi = np.linspace(0.0, np.pi, samples)

    def half(p: np.ndarray, q: np.ndarray, side: float) -> np.ndarray:
        c = 0.5 * (p + q)
        flat = c[..., None, :] + (p - c)[..., None, :] * np.cos(phi)[:, None]
        out = np.broadcast_to(side * radius * np.sin(phi), flat.shape[:-1])
        return np.concatenate([flat, out[..., None]], axis=-1)

    there = half(top[..., :-1, :], bottom[..., :-1, :], 1.0)
    back = half(bottom[..., :-1, :], top[..., 1:, :], -1.0)
    return np.concatenate([there, back[..., 1:, :]], axis=-2)
