"""The rollouts behind the convergence test: one field in many schemes and steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._errors import Status
from ..solve import AbstractScheme, integrate, polynomial
from ._equilibria import Field


# exponents of 2 of h_train / h: four in each factor of 2 about the trained step
OCTAVES = (-2, -1.5, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 6)
FINEST = 2 ** OCTAVES[-1]
RUNGS = 5  # of a ladder: as many show an order, also among many other steps
NEAR = 0.06  # a number of steps may move by this share to meet more samples
TIGHT = {"float64": 1e-13, "float32": 1e-6}  # rtol and atol of the reference
MOST_STEPS = 200_000  # of the reference
SMALL = 2.0**-10  # a state that stays below is solved by its own size


def step_counts(train: int, samples: int) -> list[int]:
    """Numbers of equal steps over the horizon, few first: a quarter of the `train`ed
    number to 64 times as many, preferring those that meet many of the `samples`."""
    counts = set()
    for octave in OCTAVES:
        wanted = train * 2.0**octave
        if float(wanted).is_integer():
            counts.add(int(wanted))
            continue
        low, high = math.ceil((1 - NEAR) * wanted), math.floor((1 + NEAR) * wanted)
        near = range(low, high + 1) or [round(wanted)]
        # among those that meet most samples the nearest
        counts.add(max(near, key=lambda n: (math.gcd(n, samples), -abs(n - wanted))))
    return sorted(n for n in counts if n >= 1)


def padded(size: int) -> int:
    """The next power of 2: horizons of other lengths then share a program."""
    return 1 << (size - 1).bit_length()


def ladder(counts: Sequence[int], train: int) -> list[int]:
    """Places of the counts that are the trained one times a power of 2."""
    places = []
    for place, count in enumerate(counts):
        big, small = max(count, train), min(count, train)
        ratio, rest = divmod(big, small)
        if not rest and ratio & (ratio - 1) == 0:
            places.append(place)
    return places


def common(counts: Sequence[int], train: int, samples: int) -> tuple[list[int], int]:
    """The steps whose differences can be compared, and n where all of them meet each
    n-th sample: those of the `ladder`, without the coarsest ones where they would leave
    hardly any sample. Where they are few, all steps, which meet at the end alone."""
    kept = ladder(counts, train)
    if len(kept) < RUNGS and 2 * len(kept) < len(counts):
        return list(range(len(counts))), samples
    while True:
        meetings = math.gcd(samples, *(counts[k] for k in kept))
        if meetings >= min(samples, 4) or len(kept) <= 4:
            return kept, samples // meetings
        kept.pop(0)


class Drive(eqx.Module):
    """Inputs along the horizon: cubic pieces between `knots`, times since the start."""

    knots: Float[Array, "knot"]
    path: Float[Array, "step 4 ctrl"]

    def within(self, s: Array, h: Array) -> Callable[[Array], Array | None]:
        """u at a time after s within a step of length h. At the ends of a step the
        piece inside of it counts: held inputs jump at the knots."""
        slack = 1e-9 * h
        find = lambda r, side: jnp.searchsorted(self.knots, r, side=side) - 1
        last = self.path.shape[0] - 1
        low = jnp.clip(find(s + slack, "right"), 0, last)
        high = jnp.clip(find(s + h - slack, "left"), low, last)

        def at(r: Array) -> Array | None:
            k = jnp.clip(find(s + r, "right"), low, high)
            return polynomial(self.path[k])(s + r - self.knots[k])

        return at


@eqx.filter_jit
def march(
    field: Field,
    y0: Float[Array, "traj dim"],
    t0: Float[Array, ""],
    h: Float[Array, ""],
    meetings: Int[Array, ""],
    between: Int[Array, ""],
    drive: Drive | None,
    context: Any,
    *,
    scheme: AbstractScheme,
    most: int,
) -> Float[Array, "traj most dim"]:
    """States at `meetings` times, `between` steps of length `h` apart; NaN in what is
    left of `most`. The numbers of steps are data: all of them share one program. Times
    are products, not sums."""

    def one(y0: Array) -> Array:
        def step(k: Array, y: Array) -> Array:
            s = k.astype(h.dtype) * h
            path = (lambda r: None) if drive is None else drive.within(s, h)
            return scheme.step(field, t0 + s, y, h, path, context)

        def reach(j: Array, carry: tuple) -> tuple:
            y, ys = carry
            y = jax.lax.fori_loop(j * between, (j + 1) * between, step, y)
            return y, ys.at[j].set(y)

        empty = jnp.full((most, y0.shape[0]), jnp.nan, y0.dtype)
        return jax.lax.fori_loop(0, meetings, reach, (y0, empty))[1]

    return jax.vmap(one)(y0)


@eqx.filter_jit
def _tight(
    field: Field,
    y0: Array,
    ts: Array,
    path: Array | None,
    context: Any,
    unit: Array,
    tolerance: float,
    jumps: bool,
) -> Any:
    import diffrax

    def one(y0: Array) -> Any:
        return integrate(
            field,
            y0,
            ts,
            path,
            context,
            solver="dopri8",
            rtol=tolerance,
            atol=tolerance * unit,
            max_steps=MOST_STEPS,
            jumps=jumps,
            adjoint=diffrax.ForwardMode(),
        )

    out = jax.vmap(one)(y0)
    return out.ys, out.status, out.t_fail


def reference(
    field: Field,
    y0: Float[Array, "traj dim"],
    ts: np.ndarray,
    drive: Drive | None,
    context: Any,
) -> tuple[np.ndarray, Status, float]:
    """The field's own motion at the times `ts`, its start included: Dormand and
    Prince's pair of order 8 to rounding; with the worst status and when it came. A
    motion far below 1 is solved again by its own size: the tolerance of a step is
    absolute there."""
    tolerance = TIGHT[str(y0.dtype)]
    at = ts - ts[0]
    if drive is not None:  # the inputs' pieces say where it has to stop
        at = np.asarray(drive.knots, np.float64)
    else:
        # one time at least lies between: the solver has to find a place to stop
        size = padded(max(3, len(at)))
        at = np.pad(at, (0, size - len(at)), mode="edge")
    solve = lambda unit: _tight(
        field,
        y0,
        jnp.asarray(ts[0] + at, y0.dtype),
        None if drive is None else drive.path,
        context,
        jnp.asarray(unit, y0.dtype),
        tolerance,
        drive is not None,
    )
    ys, status, t_fail = solve(1.0)
    far = np.abs(np.asarray(ys))
    size = float(np.max(far, initial=0.0, where=np.isfinite(far)))
    if 0.0 < size < SMALL:
        ys, status, t_fail = solve(2.0 ** np.round(np.log2(size)))
    keep = np.searchsorted(at, ts - ts[0] - 1e-6 * (ts[1] - ts[0]))
    worst = Status(int(np.max(status)))
    return np.asarray(ys)[:, keep], worst, float(np.min(t_fail))


class Sweep:
    """One field from the same starts in any scheme with any number of steps."""

    def __init__(
        self,
        field: Field,
        y0: Float[Array, "traj dim"],
        t0: float,
        span: float,
        samples: int,
        drive: Drive | None,
        context: Any,
    ) -> None:
        self.field, self.y0, self.t0, self.span = field, y0, t0, span
        self.samples, self.drive, self.context = samples, drive, context

    def run(self, scheme: AbstractScheme, count: int) -> np.ndarray:
        """States `"traj samples dim"` after `count` equal steps, NaN at the samples
        between which a step lies."""
        meetings = math.gcd(count, self.samples)
        one = lambda x: jnp.asarray(x, self.y0.dtype)
        ys = march(
            self.field,
            self.y0,
            one(self.t0),
            one(self.span / count),
            jnp.asarray(meetings, jnp.int32),
            jnp.asarray(count // meetings, jnp.int32),
            self.drive,
            self.context,
            scheme=scheme,
            most=padded(self.samples),
        )
        out = np.full((len(ys), self.samples, ys.shape[2]), np.nan)
        every = self.samples // meetings
        # what left the finite numbers is infinitely far off, not unknown
        met = np.nan_to_num(np.asarray(ys)[:, :meetings], nan=np.inf, posinf=np.inf)
        out[:, every - 1 :: every] = met
        return out
