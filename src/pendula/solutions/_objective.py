"""What networks with trained weights minimise: the rows of all blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._tree import split_trainable
from .._types import AnyArray
from ._blocks import Block
from ._derivatives import Orders, derivatives
from ._form import HardForm
from ._law import Law
from ._parts import Part, Start, Windows
from ._problem import Problem


class Known(eqx.Module):
    """A block in one window, and what holds there without the window's network:
    `"point need"` at the points and their partners."""

    block: Block
    base: AnyArray
    other: AnyArray | None


class Trained(eqx.Module):
    """What is trained: the network's arrays, and the unknown parameters (0 at their
    guesses)."""

    net: Any
    unknown: AnyArray


class Objective(eqx.Module):
    r"""Least squares of one window.

    $$ L(\theta) = \sum_b \frac{w_b^2}{n_b} \sum_i |\rho_{b,i}(\theta)|^2 $$

    over the equation and each condition b. `rows` are its square roots, so that
    $L = |rows|^2$; `terms` its summands. Everything that may change from window to
    window is an array: windows of the same shapes share one program.
    """

    known: tuple[Known, ...]
    form: HardForm
    t0: AnyArray
    length: AnyArray
    weights: AnyArray
    """w_b, one a block."""
    params: dict[str, Any]
    """The parameters that are known."""
    rest: Any
    """What belongs to the network and is not trained."""
    unknowns: tuple[tuple[str, Any], ...] = eqx.field(static=True)

    def parameters(self, unknown: Float[Array, "unknown"]) -> dict[str, Any]:
        """All parameters."""
        found = {name: u.value(unknown[k]) for k, (name, u) in enumerate(self.unknowns)}
        return {**self.params, **found}

    def part(self, theta: Trained) -> Part:
        """The window's part of the solution."""
        return Part(eqx.combine(theta.net, self.rest), self.t0, self.length)

    def residuals(self, theta: Trained) -> list[Array]:
        """The rows of each block, without weights."""
        part = self.part(theta)
        params = self.parameters(theta.unknown)
        function = lambda p: part.added(p, self.form)
        out = []
        for known in self.known:
            block = known.block
            values = known.base + needed(function, block.law, block.points)
            other = None
            if block.partner is not None and known.other is not None:
                other = known.other + needed(function, block.law, block.partner)
            out.append(block.rows(values, params, other))
        return out

    def rows(self, theta: Trained) -> Float[Array, "row"]:
        """Weighted rows whose sum of squares is the loss."""
        parts = [
            (self.weights[k] / np.sqrt(r.shape[0])) * jnp.ravel(r)
            for k, r in enumerate(self.residuals(theta))
        ]
        return jnp.concatenate(parts)

    def terms(self, theta: Trained) -> Float[Array, "block"]:
        """Mean squares of each block, without weights."""
        sums = [jnp.sum(r * r) / r.shape[0] for r in self.residuals(theta)]
        return jnp.stack(sums)

    def loss(self, theta: Trained) -> Float[Array, ""]:
        """The sum of the weighted terms."""
        return jnp.sum(self.weights**2 * self.terms(theta))

    def names(self) -> list[str]:
        """The name of each block."""
        return [known.block.name for known in self.known]


def needed(function: Any, law: Law, points: Array) -> Float[Array, "point need"]:
    """What a law needs of a function `"point coord"` to `"point field"`."""
    wanted: list[Orders] = sorted({need.orders for need in law.needs})
    found = derivatives(function, points, wanted)
    return jnp.stack([found[n.orders][:, n.field] for n in law.needs], axis=1)


def objective(
    problem: Problem,
    windows: Windows,
    blocks: Sequence[Block],
    net: Any,
    t0: float,
    length: float,
    weights: Sequence[float] | None = None,
) -> tuple[Objective, Trained]:
    """The least-squares problem of the next window, and where its network stands.

    **Arguments:** `windows`: the parts so far; `blocks`: with points in physical
    coordinates; `net`: the window's network, of points with s for t; `weights`: w_b.
    Call it inside the precision of the training.
    """
    known = []
    for block in blocks:
        sides = [block.points] + ([] if block.partner is None else [block.partner])
        base = [_base(windows, block.law, np.asarray(p), t0) for p in sides]
        base += [None] * (2 - len(base))
        known.append(Known(block, base[0], base[1]))
    trained, rest = split_trainable(net)
    unknowns = tuple(problem.unknowns.items())
    dtype = jnp.result_type(float)
    put = lambda x: jnp.asarray(x, dtype) if eqx.is_inexact_array(x) else x
    own = Objective(
        tuple(known),
        windows.form,
        np.asarray(float(t0)),
        np.asarray(float(length)),
        np.ones(len(known)) if weights is None else np.asarray(weights, np.float64),
        {
            k: np.asarray(v)
            for k, v in problem.values(dict.fromkeys(problem.unknowns, 0.0)).items()
            if k not in problem.unknowns
        },
        rest,
        unknowns,
    )
    theta = Trained(trained, np.zeros(len(unknowns)))
    return jax.tree.map(put, own), jax.tree.map(put, theta)


def _base(windows: Windows, law: Law, points: np.ndarray, t0: float) -> np.ndarray:
    """What the closed form and earlier windows give, `"point need"`."""
    wanted = sorted({need.orders for need in law.needs})
    found = windows.closed(points, wanted)
    if windows.form.has_time and windows.parts:
        space, back = np.unique(points[:, :-1], axis=0, return_inverse=True)
        zero = Start.zero(space, wanted, windows)
        start = windows.begin(space, wanted, zero)
        since = points[:, -1] - t0
        found = {k: v + start.at(k, back.ravel(), since) for k, v in found.items()}
    return np.stack([found[n.orders][:, n.field] for n in law.needs], axis=1)
