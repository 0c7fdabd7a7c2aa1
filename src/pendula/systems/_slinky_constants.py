"""The bars of a Slinky as a function of its physical constants, with derivatives."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import ConfigError
from .._precision import precision
from ._elastic_rod import ElasticRod, RodState, Section, assembled
from ._rod_rest import resting
from ._rod_simulate import rod_path, stepper_of
from ._rod_solve import Method
from ._rod_step import Boundary
from ._slinky import AROUND, AXIS, GRAVITY, SPAN, Slinky
from ._slinky_cases import SlinkyCase


CONSTANTS = {"youngs": "Pa", "density": "kg/m^3", "pitch": "m", "drag": "N s/m^2"}
TOLERANCE = 1e-9  # N, that a step may leave


class SlinkyBars(eqx.Module):
    """Bars of a case at given times, from the logarithm of its free constants over
    their starting values.

    `values`: all of `CONSTANTS`, where they start; `free`: those that move; `drawn`:
    nodes `"node 3"` of the start, along x, or of the helix at no pitch where it begins
    `undrawn`, as it rests; `down`: whether it hangs; `held`: clamps while it is drawn
    out and once it is let go; `before`, `share`: the step before each time and how far
    on it is.
    """

    values: dict[str, Any]
    radius: Any
    wire: Any
    poisson: Any
    section: Section | None
    drawn: Any
    held: tuple[Boundary, Boundary]
    dt: Any
    before: Any
    share: Any
    free: tuple[str, ...] = eqx.field(static=True)
    down: bool = eqx.field(static=True)
    undrawn: bool = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    integrator: str = eqx.field(static=True)
    solver: str = eqx.field(static=True)

    @classmethod
    def of(
        cls,
        case: SlinkyCase,
        slinky: Slinky,
        values: dict[str, float],
        free: tuple[str, ...],
        ts: np.ndarray,
        dt: float,
        integrator: str,
    ) -> SlinkyBars:
        """Of a case, watched at `ts`. **Raises:** `ConfigError` where cycles touch."""
        if case.touching:
            raise ConfigError(
                "constants are not found through contact of cycles. Take a motion in "
                "which they do not touch, and touching=False."
            )
        down = case.setup == "vertical"
        undrawn = down and case.span is None
        span = SPAN * case.cycles if case.span is None else case.span
        steps = max(1, math.ceil(float(ts[-1]) / dt - 1e-9))
        before = np.clip(np.floor(ts / dt + 1e-9).astype(int), 0, steps - 1)
        own = slinky.section
        with precision(np.float64):
            number = lambda v: jnp.asarray(v, jnp.float64)
            drawn = number(slinky.points(0.0 if undrawn else span / case.cycles))
            # clamps only count the nodes
            shape = slinky.points(), slinky.points(), slinky.own_section
            rod = eqx.filter_eval_shape(assembled, *shape)
            return cls(
                {name: number(v) for name, v in values.items()},
                number(slinky.radius),
                number(slinky.wire),
                number(slinky.poisson),
                None if own is None else jax.tree.map(number, own),
                drawn,
                (slinky.clamps(rod), case.held(rod)),
                number(dt),
                jnp.asarray(before),
                number(ts / dt - before),
                free,
                down,
                undrawn,
                steps,
                integrator,
                "lapack" if jax.default_backend() == "cpu" else "blocks",
            )

    def stepped(self, ts: np.ndarray, dt: float) -> SlinkyBars:
        """The same by as many longer steps: no other program."""
        before = np.clip(np.floor(ts / dt + 1e-9).astype(int), 0, self.steps - 1)
        with precision(np.float64):
            return dataclasses.replace(
                self,
                dt=jnp.asarray(dt, jnp.float64),
                before=jnp.asarray(before),
                share=jnp.asarray(ts / dt - before, jnp.float64),
            )

    def start(self, now: dict[str, Any]) -> tuple[ElasticRod, RodState]:
        """The rod with some constants before it is let go; NaN where it finds no
        rest."""
        section = self.section
        if section is None:
            section = Section.circular(
                self.wire, now["youngs"], now["density"], self.poisson
            )
        along = jnp.arange(self.drawn.shape[0], dtype=self.drawn.dtype) / AROUND
        flat = self.drawn.at[:, 0].set(0.0)
        helix = flat.at[:, 0].set(now["pitch"] * along)
        drawn = self.drawn
        turned = lambda x: jnp.stack([x[:, 1], -x[:, 0], x[:, 2]], axis=1)
        if self.down:  # from its first end
            drawn, helix = turned(drawn), turned(helix)
        sides = None
        if self.section is not None:
            axis = turned(AXIS[None]) if self.down else AXIS[None]
            sides = jnp.broadcast_to(axis.T, (3, drawn.shape[0] - 1))
        if self.undrawn:
            rod = assembled(helix, helix, section, sides)
            return rod, rod.start
        rod = assembled(drawn, helix, section, sides)
        none = (0.0, 0.0, 0.0)
        stepper = stepper_of(rod, None, self.held[0], none, 0.0, TOLERANCE)
        method = Method(self.solver, forward=True)
        state, out = resting(stepper, rod.start, jnp.ones(()), method)
        z = jnp.where(out.good, state.z, jnp.nan)
        return rod, eqx.tree_at(lambda s: s.z, state, z)

    def __call__(self, q: Float[Array, "free"]) -> Float[Array, "time bar 3"]:
        """x, y [m] and alpha [rad] of the bars, alpha within half a turn."""
        move = dict(zip(self.free, jnp.exp(q), strict=True))
        now = {k: v * move[k] if k in move else v for k, v in self.values.items()}
        rod, state = self.start(now)
        z = rod_path(
            rod,
            self.steps,
            self.dt,
            tolerance=TOLERANCE,
            state=state,
            boundary=self.held[1],
            gravity=(0.0, -GRAVITY, 0.0),
            drag=now["drag"],
            integrator=self.integrator,
            solver=self.solver,
            forward=True,
        )
        ends = jnp.stack([z[:, :2, 0:-1:AROUND], z[:, :2, AROUND // 2 :: AROUND]])
        share = self.share[None, :, None, None]
        # between steps along a line: a dt^2/8 is a hundredth of a millimetre
        top, bottom = (1.0 - share) * ends[:, self.before] + share * ends[
            :, self.before + 1
        ]
        arm = top - bottom
        alpha = jnp.arctan2(-arm[:, 0], arm[:, 1])
        centre = 0.5 * (top + bottom)
        return jnp.stack([centre[:, 0], centre[:, 1], alpha], axis=-1)
