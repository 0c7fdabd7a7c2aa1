"""Free runs of a learned chain from the states of records, and how far off they are."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.interpolate import CubicSpline

from .._precision import cast, precision
from .._tree import member
from ..systems import bar_distance, from_bars
from ._bar_chain import BarChain
from ._bars import ElasticBars, pair_coordinates
from ._bars_intervals import BarIntervals, vertices
from ._bars_machine import BarsMachine
from ._bars_run import BarPath, bar_path, steps_within
from ._fitted import Fitted
from ._run_size import check_run


BEYOND = 0.05  # of the visited range, by which a pair may leave it unnoticed
Motion = Float[np.ndarray, "time bar 3"]


@dataclasses.dataclass(frozen=True)
class BarsFollowed:
    """What a learned chain makes of a start.

    `paths`: one a member; `mean` and `rates`: their mean, NaN where none is finite;
    `halved`: the mean at half the step; `law`: the classical law's motion, where the
    fit found one; `truth`: the record from the same time on, where there is one;
    `lost` [J]: what drag took from the middle member's motion; `outside` `"time"`:
    share of the pairs of bars beyond what training visited; `moved`: whether an end
    was; `intervals`: what a fit of several members was calibrated to.
    """

    machine: BarsMachine
    paths: tuple[BarPath, ...]
    mean: Motion
    rates: Motion
    halved: Motion
    law: Motion | None
    truth: Motion | None
    truth_energy: dict[str, np.ndarray] | None
    lost: Float[np.ndarray, "time"]
    outside: Float[np.ndarray, "time"]
    moved: bool = False
    intervals: BarIntervals | None = None

    @property
    def ts(self) -> Float[np.ndarray, "time"]:
        """Times [s]."""
        return self.paths[0].ts

    @property
    def middle(self) -> BarPath:
        """The middle member's motion."""
        return self.paths[len(self.paths) // 2]

    @property
    def good(self) -> bool:
        """Whether every member's motion is finite."""
        return all(path.good for path in self.paths)

    @property
    def ends_at(self) -> float | None:
        """The time of the first state that is not finite; None where all are."""
        bad = ~np.stack(
            [np.all(np.isfinite(p.u), axis=(1, 2)) for p in self.paths]
        ).all(0)
        return float(self.ts[bad.argmax()]) if bad.any() else None

    @property
    def kept(self) -> int:
        """Samples before the first in which the mean motion is not finite, or a bar
        half a turn from where it was or from its neighbour."""
        lost = ~np.all(np.isfinite(self.mean), axis=(1, 2))
        alpha = np.where(lost[:, None], 0.0, self.mean[..., 2])
        jump = np.abs(np.diff(alpha, axis=0, prepend=alpha[:1])).max(1)
        apart = np.abs(np.diff(alpha, axis=1)).max(1)
        lost |= (jump > np.pi) | (apart > np.pi)
        return int(lost.argmax()) if lost.any() else len(lost)

    def distance(self, other: Motion | None) -> Float[np.ndarray, "time"]:
        """Mean distance of tops and bottoms from the record's [m]; NaN without one."""
        if self.truth is None or other is None:
            return np.full(len(self.ts), np.nan)
        return bar_distance(other, self.truth, self.machine.radius)

    @property
    def error(self) -> Float[np.ndarray, "time"]:
        """The mean motion's distance [m]; infinite where it is not finite."""
        off = self.distance(self.mean)
        return off if self.truth is None else np.where(np.isnan(off), np.inf, off)

    @property
    def points(self) -> Float[np.ndarray, "member time bar 2 2"]:
        """Tops and bottoms of all members' motions [m]."""
        return np.stack([vertices(p.u, self.machine.radius) for p in self.paths])

    @property
    def half(self) -> Float[np.ndarray, "time bar 2 2"] | None:
        """Half width of the intervals of tops and bottoms [m]; None without."""
        if self.intervals is None:
            return None
        held = self.machine.first, self.machine.last
        return self.intervals.half(self.points, held)

    @property
    def covered(self) -> Float[np.ndarray, "time"] | None:
        """Share of the coordinates of the record's tops and bottoms within their
        intervals, of bars that are not held; None without intervals or record."""
        half = self.half
        if half is None or self.truth is None:
            return None
        own = slice(int(self.machine.first), half.shape[1] - int(self.machine.last))
        true = vertices(self.truth, self.machine.radius)
        off = np.abs(true - self.points.mean(axis=0))[:, own]
        return (off <= half[:, own]).mean(axis=(1, 2, 3))

    @property
    def persistence(self) -> Float[np.ndarray, "time"]:
        """The distance of who says that nothing moves [m]."""
        return self.distance(np.broadcast_to(self.mean[:1], self.mean.shape))

    @property
    def halving(self) -> Float[np.ndarray, "time"]:
        """How far half the step changes the motion [m]."""
        return bar_distance(self.halved, self.mean, self.machine.radius)

    @property
    def helix_error(self) -> float:
        """Mean squared distance of the helix from the record's [m^2], as far as the
        record goes."""
        if self.truth is None:
            return float("nan")
        r = self.machine.radius
        known = np.all(np.isfinite(self.truth), axis=(1, 2))
        off = from_bars(self.mean[known], r) - from_bars(self.truth[known], r)
        return float(np.mean(np.sum(off**2, axis=-1)))

    @property
    def drift(self) -> float | None:
        """Largest change of energy and what drag took, over the peak of the kinetic
        energy; None where a moved end does work, infinite where the motion ends in
        what is not finite."""
        if self.moved:
            return None
        whole = self.middle.total + self.lost
        if not np.isfinite(whole).all():
            return float("inf")
        peak = self.middle.energy["kinetic"].max()
        return float(np.abs(whole - whole[0]).max() / peak) if peak > 0.0 else 0.0


def follow_bars(
    fitted: Fitted,
    machine: BarsMachine,
    ts: Float[np.ndarray, "time"],
    u: Float[np.ndarray, "sample bar 3"],
    v: Float[np.ndarray, "sample bar 3"],
    *,
    ends: Float[np.ndarray, "time 6"] | None = None,
) -> BarsFollowed:
    """Run a learned chain as a machine of any number of bars from the first of the
    states `u`, `v` on, over the times `ts` [s].

    **Arguments:** `u`, `v`: bars and rates of the record at the first of these times:
    one sample where only the start is known, fewer than `ts` where the run goes on.
    `ends`: accelerations of held ends that are moved.
    **Raises:** `ShapeError` as `bar_path`.
    """
    chains = [
        machine.on(member(fitted.ensemble, i).field.force)
        for i in range(fitted.members)
    ]
    # the longest interval in steps that are no longer than those of the training
    step = float(fitted.about["step"]) / fitted.ensemble.substeps
    parts = steps_within(ts, step)
    run = lambda chain, parts: bar_path(
        chain, ts, u[0], v[0], substeps=parts, ends=ends
    )
    paths = tuple(run(chain, parts) for chain in chains)
    finer = [run(chain, 2 * parts).u for chain in chains]
    constants = fitted.about.get("law")
    law = None
    if constants is not None:
        energy = ElasticBars(
            np.log(np.asarray(constants, np.float32)),
            float(fitted.about["config"]["natural"]),
        )
        law = run(dataclasses.replace(chains[0], energy=energy), parts).u
    middle = len(chains) // 2
    told = fitted.about.get("bar_intervals")
    truth = truth_energy = None
    if len(u) > 1:
        truth = np.full((len(ts), *u.shape[1:]), np.nan)
        truth[: len(u)] = u
        rates = np.full_like(truth, np.nan)
        rates[: len(v)] = v
        truth_energy = _energies(chains[middle], truth, rates)
    return BarsFollowed(
        machine,
        paths,
        _mean([p.u for p in paths]),
        _mean([p.v for p in paths]),
        _mean(finer),
        law,
        truth,
        truth_energy,
        _drag_work(chains[middle], paths[middle]),
        _outside(paths, fitted.about.get("visited")),
        ends is not None and bool(np.any(ends)),
        None if told is None else BarIntervals(**told),
    )


def check_bars_run(fitted: Fitted, seconds: float, frame: float, bars: int) -> None:
    """Refuse a run of `follow_bars` that takes hours or more memory than there is,
    before its times are made: one of so many `seconds`, a sample every `frame` [s].

    **Raises:** `ConfigError`.
    """
    step = float(fitted.about["step"]) / fitted.ensemble.substeps
    runs = 3 * fitted.members  # at the whole step, and at half of it
    check_run(
        f"a forecast of {seconds:g} s",
        seconds / frame,
        every=frame,
        unit="s",
        steps=runs * max(1, math.ceil(frame / step - 1e-6)),
        numbers=6.0 * bars * (fitted.members + 1),
    )


def _pairs(u: np.ndarray) -> np.ndarray:
    u = np.asarray(u, np.float32)
    return np.asarray(
        pair_coordinates(jnp.asarray(u[:, :-1]), jnp.asarray(u[:, 1:])), np.float64
    )


def _mean(motions: list[np.ndarray]) -> np.ndarray:
    """Of the motions that are finite up to each time."""
    stacked = np.stack(motions)
    good = np.all(np.isfinite(stacked), axis=(2, 3), keepdims=True)
    count = good.sum(0)
    total = np.where(good, stacked, 0.0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _outside(paths: tuple[BarPath, ...], visited: Any) -> np.ndarray:
    """Share of pairs beyond the visited range, members together; 0 where no range is
    known, 1 where a motion is not finite."""
    if visited is None:
        return np.zeros(len(paths[0].ts))
    low, high = np.asarray(visited, np.float64).T
    margin = BEYOND * (high - low)
    shares = []
    for path in paths:
        z = _pairs(path.u)
        inside = (z >= low - margin) & (z <= high + margin)
        shares.append(1.0 - inside.all(-1).mean(-1))
    return np.mean(shares, axis=0)


def _drag_work(chain: BarChain, path: BarPath) -> np.ndarray:
    """What drag took until each time [J]: the integral of a spline of its power."""
    loss = [float(chain.world.drag)] * 2 + [float(chain.world.spin_drag)]
    v = path.v[:, int(chain.first) : path.v.shape[1] - int(chain.last)]
    power = np.sum(np.asarray(loss) * v**2, axis=(1, 2))
    out = np.full(len(path.ts), np.nan)
    good = np.isfinite(power)
    n = len(power) if good.all() else int(good.argmin())
    if n >= 2:
        out[:n] = CubicSpline(path.ts[:n], power[:n]).antiderivative()(path.ts[:n])
    return out


def _energies(chain: BarChain, u: Motion, v: Motion) -> dict[str, np.ndarray]:
    """The parts of the energy along a record, as the chain counts them [J]."""
    flat = np.concatenate([u.reshape(len(u), -1), v.reshape(len(v), -1)], axis=1)
    with precision(np.float32):
        own = cast(jax.tree.map(jnp.asarray, chain), np.dtype(np.float32))
        parts = _totals(own, jnp.asarray(flat, jnp.float32))
    return {k: np.asarray(e, np.float64) for k, e in parts.items()}


@eqx.filter_jit
def _totals(chain: BarChain, ys: Array) -> dict[str, Array]:
    return jax.vmap(chain.total)(ys)
