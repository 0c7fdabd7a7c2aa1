"""Pieces of a solution in time, and what they add up to."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._precision import precision
from ._blocks import Block
from ._derivatives import Orders, derivatives
from ._form import HardForm


class Part(eqx.Module):
    """One window: its network, its beginning and its length. Networks see the time in
    the window, s in [0, 1], as their last coordinate."""

    trial: Any
    """A function of points `"point coord"`, values `"point field"`."""
    t0: Float[Array, ""]
    length: Float[Array, ""]

    def local(self, points: Array, form: HardForm) -> Array:
        """Points with s for t."""
        if not form.has_time:
            return points
        s = (points[:, -1:] - self.t0) / self.length
        return jnp.concatenate([points[:, :-1], s], axis=1)

    def added(
        self, points: Float[Array, "point coord"], form: HardForm
    ) -> Float[Array, "point field"]:
        """s^q D(x) N(x, s)."""
        near = self.local(points, form)
        value = form.mask(points) * self.trial(near)
        if not form.has_time:
            return value
        s = near[:, -1]
        grow = [jnp.ones_like(s), s, s * s]
        return value * jnp.stack([grow[q] for q in form.orders], axis=1)


@eqx.filter_jit
def _added(
    part: Part, form: HardForm, points: Array, wanted: tuple[Orders, ...]
) -> dict[Orders, Array]:
    return derivatives(lambda p: part.added(p, form), points, wanted)


@eqx.filter_jit
def _closed(
    form: HardForm, points: Array, wanted: tuple[Orders, ...]
) -> dict[Orders, Array]:
    return derivatives(form.closed, points, wanted)


def _padded(points: np.ndarray) -> np.ndarray:
    """The last point again and again, up to a power of two: few shapes, few
    compilations."""
    size = max(64, 1 << (len(points) - 1).bit_length())
    return np.concatenate([points, np.repeat(points[-1:], size - len(points), axis=0)])


class Windows:
    """Parts one after the other, in the form of one problem: values and derivatives
    anywhere, and what the next part starts from. All of it in float64 NumPy arrays.

    `end`: the time that the parts are for; a method that stops within one sets it.
    """

    def __init__(self, form: HardForm, parts: Sequence[Part], end: float) -> None:
        self.form, self.parts, self.end = form, list(parts), end

    def ends(self) -> np.ndarray:
        """Where each part ends."""
        ends = [float(p.t0) + float(p.length) for p in self.parts]
        return np.minimum(np.asarray(ends), self.end)

    def reached(self) -> float:
        """The time up to which parts are: `end`, but for rounding, if all are."""
        begin, end = float(self.form.t0), float(self.end)
        last = float(self.ends()[-1]) if self.parts else begin
        return end if last >= end - 1e-9 * (end - begin) else last

    def closed(self, points: np.ndarray, wanted: Sequence[Orders]) -> dict:
        """g and its derivatives at points."""
        carry = self.form.carry
        if carry is not None:
            found = carry.partial(points, wanted)
            return {k: v[:, None] for k, v in found.items()}
        with precision(np.float64):
            found = _closed(self.form, jnp.asarray(_padded(points)), tuple(wanted))
            return {k: np.asarray(v)[: len(points)] for k, v in found.items()}

    def added(self, part: Part, points: np.ndarray, wanted: Sequence[Orders]) -> dict:
        """What a part adds at points, with derivatives."""
        with precision(np.float64):
            at = jnp.asarray(_padded(points))
            found = _added(part, self.form, at, tuple(wanted))
            return {k: np.asarray(v)[: len(points)] for k, v in found.items()}

    def begin(
        self, space: np.ndarray, wanted: Sequence[Orders], start: Any = None
    ) -> Any:
        """The sum of what parts have added at their ends, at points of space: a
        `Start` that `after` continues."""
        total = start if start is not None else Start.zero(space, wanted, self)
        for part in self.parts:
            total = total.after(part, self)
        return total

    def handed_on(self, block: Block, t: float) -> Block:
        """Rows of starts for a window from t on: what the one before has ended with."""
        if block.name != "initial" or not self.parts:
            return block
        need = block.law.needs[0]
        points = np.asarray(block.points).copy()
        points[:, -1] = t
        found = self.values(points, [need.orders])[need.orders]
        return dataclasses.replace(block, points=points, data=found[:, [need.field]])

    def values(
        self, points: np.ndarray, wanted: Sequence[Orders]
    ) -> dict[Orders, np.ndarray]:
        """Derivatives of all fields at points `"point coord"`: orders -> `"point
        field"`."""
        points = np.asarray(points, np.float64)
        if not len(points):
            return {k: np.zeros((0, len(self.form.fields))) for k in wanted}
        out = {k: v.copy() for k, v in self.closed(points, wanted).items()}
        if not self.form.has_time:
            for part in self.parts:
                for k, v in self.added(part, points, wanted).items():
                    out[k] += v
            return out
        which = np.searchsorted(self.ends()[:-1], points[:, -1], side="left")
        space, back = np.unique(points[:, :-1], axis=0, return_inverse=True)
        back = back.ravel()
        spatial = sorted({(*k[:-1], 0) for k in wanted})
        start = Start.zero(space, spatial, self)
        for k, part in enumerate(self.parts):
            own = np.flatnonzero(which == k)
            if own.size:
                new = self.added(part, points[own], wanted)
                since = points[own, -1] - float(part.t0)
                for orders in wanted:
                    out[orders][own] += new[orders]
                    out[orders][own] += start.at(orders, back[own], since)
            start = start.after(part, self)
        return out


class Start:
    r"""$c_k(x)$ and $v_k(x)$ with derivatives, at fixed points of space."""

    def __init__(self, space: np.ndarray, c: dict, v: dict) -> None:
        self.space, self.c, self.v = space, c, v

    @classmethod
    def zero(
        cls, space: np.ndarray, wanted: Sequence[Orders], windows: Windows
    ) -> Start:
        """Before the first window."""
        shape = (len(space), len(windows.form.fields))
        spatial = {(*k[:-1], 0) for k in wanted}
        make = lambda: {k: np.zeros(shape) for k in spatial}
        return cls(space, make(), make())

    def at(self, orders: Orders, rows: np.ndarray, since: np.ndarray) -> np.ndarray:
        """Its part of a derivative, `since` after the window's beginning."""
        spatial = (*orders[:-1], 0)
        if orders[-1] == 0:
            return self.c[spatial][rows] + since[:, None] * self.v[spatial][rows]
        if orders[-1] == 1:
            return self.v[spatial][rows]
        return np.zeros((len(rows), self.c[spatial].shape[1]))

    def after(self, part: Part, windows: Windows) -> Start:
        """With what a part adds at its end."""
        form = windows.form
        orders = np.asarray(form.orders)
        t0, length = float(part.t0), float(part.length)
        points = np.c_[self.space, np.full(len(self.space), t0 + length)]
        second = bool((orders > 1).any())
        wanted = list(self.c)
        if second:
            wanted += [(*k[:-1], 1) for k in self.c]
        new = windows.added(part, points, wanted)
        c, v = {}, {}
        keeps = (orders > 0).astype(float)[None, :]
        for k in self.c:
            c[k] = self.c[k] + keeps * new[k] + length * self.v[k]
            v[k] = self.v[k]
            if second:
                v[k] = v[k] + (orders > 1)[None, :] * new[(*k[:-1], 1)]
        return Start(self.space, c, v)


def member(parts: Part, index: int) -> Part:
    """One of several stacked parts."""
    return jax.tree.map(lambda x: x[index] if eqx.is_array(x) else x, parts)
