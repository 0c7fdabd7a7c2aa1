"""The stiffness of a rod as blocks of its nodes, and the solution of systems with it.

Node k holds (x, y, z, theta) of itself and of the edge that begins there; the last
node's theta is no unknown and has a unit diagonal. Two edges of an element reach three
nodes, so that blocks of three nodes are tridiagonal.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.buffer_callback import buffer_callback
from jaxtyping import Array, Float

from .._errors import ConfigError, nearest


NODES = 3  # to a block
SOLVERS = ("blocks", "lapack")
Grid = Float[Array, "4 node"]


class NodeBlocks(NamedTuple):
    """A symmetric matrix by pairs of nodes: (k, k) `"4 4 node"`, (k, k + 1)
    `"4 4 edge"`, (k, k + 2) `"4 4 inner"`; where cycles of P nodes touch also
    (k, k + P - 1) and (k, k + P)."""

    diagonal: Float[Array, "4 4 node"]
    first: Float[Array, "4 4 edge"]
    second: Float[Array, "4 4 inner"]
    near: Float[Array, "4 4 near"] | None = None
    across: Float[Array, "4 4 across"] | None = None

    @property
    def around(self) -> int:
        """P, or 0 where nothing touches."""
        if self.across is None:
            return 0
        return self.diagonal.shape[2] - self.across.shape[2]

    def offsets(self) -> dict[int, Array]:
        """The blocks by how far apart their nodes are."""
        found = {0: self.diagonal, 1: self.first, 2: self.second}
        if self.near is not None and self.across is not None:
            found |= {self.around - 1: self.near, self.around: self.across}
        return found

    def held(self, fixed: Any) -> NodeBlocks:
        """Without the rows and columns of `fixed` `"4 node"`, which get a unit
        diagonal."""
        free = jnp.where(fixed, 0.0, 1.0).astype(self.diagonal.dtype)
        both = lambda a, i, j: a * free[:, None, i] * free[None, :, j]
        every = slice(None)
        diagonal = both(self.diagonal, every, every)
        unit = jnp.eye(4, dtype=free.dtype)[:, :, None] * (1.0 - free)[:, None]
        return NodeBlocks(
            diagonal + unit,
            both(self.first, slice(None, -1), slice(1, None)),
            both(self.second, slice(None, -2), slice(2, None)),
            *(
                both(a, slice(None, -far), slice(far, None))
                for far, a in list(self.offsets().items())[3:]
            ),
        )

    def and_also(self, other: NodeBlocks) -> NodeBlocks:
        """The sum of two."""
        add = lambda a, b: b if a is None else a if b is None else a + b
        return NodeBlocks(
            self.diagonal + other.diagonal,
            self.first + other.first,
            self.second + other.second,
            add(self.near, other.near),
            add(self.across, other.across),
        )

    def plus(self, diagonal: Grid) -> NodeBlocks:
        """With more on the diagonal."""
        eye = jnp.eye(4, dtype=diagonal.dtype)[:, :, None]
        return self._replace(diagonal=self.diagonal + eye * diagonal[:, None])

    def times(self, v: Grid) -> Grid:
        """The product with a vector."""
        of = lambda a, x: jnp.sum(a * x[None], axis=1)
        back = lambda a, x: jnp.sum(a * x[:, None], axis=0)
        wide = lambda x, low, high: jnp.pad(x, ((0, 0), (low, high)))
        total = of(self.diagonal, v)
        for far, a in list(self.offsets().items())[1:]:
            total = total + wide(of(a, v[:, far:]), 0, far)
            total = total + wide(back(a, v[:, :-far]), far, 0)
        return total

    def solve(self, v: Grid, solver: str = "blocks") -> Grid:
        """x with A x = v, for a positive matrix; NaN where it is not positive.

        `blocks`: Cholesky by a scan over blocks of three nodes (of a cycle where
        cycles touch), on any device;
        `lapack`: SciPy's banded Cholesky through a callback, on the CPU.
        """
        if solver == "blocks":
            parts = self._cyclic() if self.around else self._tridiagonal()
            return _by_blocks(*parts, v)
        if solver == "lapack":
            return _by_lapack(self._band(), v)
        raise ConfigError(
            f'solver "{solver}" is unknown.{nearest(solver, SOLVERS)} Allowed: '
            f"{', '.join(SOLVERS)}."
        )

    def _tridiagonal(self) -> tuple[Array, Array]:
        """Diagonal and upper blocks `"block 12 12"`."""
        number = self.diagonal.shape[2]
        blocks = -(-number // NODES)
        over = NODES * blocks - number

        def split(a: Array, missing: int) -> list[Array]:
            a = jnp.pad(a, ((0, 0), (0, 0), (0, over + missing)))
            a = a.reshape(4, 4, blocks, NODES)
            return [a[..., k].transpose(2, 0, 1) for k in range(NODES)]

        a0, a1, a2 = (
            split(self.diagonal, 0),
            split(self.first, 1),
            split(self.second, 2),
        )
        if over:  # nodes that are not there
            last = jnp.arange(blocks) == blocks - 1
            for k in range(NODES - over, NODES):
                unit = jnp.eye(4, dtype=a0[k].dtype)[None]
                a0[k] = jnp.where(last[:, None, None], unit, a0[k])
        t = lambda a: a.transpose(0, 2, 1)
        none = jnp.zeros_like(a0[0])
        within = [
            [a0[0], a1[0], a2[0]],
            [t(a1[0]), a0[1], a1[1]],
            [t(a2[0]), t(a1[1]), a0[2]],
        ]
        upper = [[none] * 3, [a2[1], none, none], [a1[2], a2[2], none]]
        join = lambda rows: jnp.concatenate(
            [jnp.concatenate(row, axis=2) for row in rows], axis=1
        )
        return join(within), join(upper)

    def _cyclic(self) -> tuple[Array, Array]:
        """Diagonal and upper blocks of a cycle each, `"block 4P 4P"`: one gather."""
        p, number = self.around, self.diagonal.shape[2]
        blocks = -(-number // p)
        parts = self.offsets()
        wide = lambda a: jnp.pad(a, ((0, 0), (0, 0), (0, blocks * p - a.shape[2])))
        # nodes that are not there have a unit diagonal
        missing = jnp.where(jnp.arange(blocks * p) < number, 0.0, 1.0)
        unit = jnp.eye(4)[:, :, None] * missing[None, None]
        own = [wide(a) for a in parts.values()]
        own[0] = own[0] + unit.astype(own[0].dtype)
        values = jnp.stack([*own, jnp.zeros_like(own[0])])
        values = values.reshape(-1, 4, 4, blocks, p)
        slot = {far: k for k, far in enumerate(parts)}
        i, j = np.mgrid[:p, :p]
        find = np.vectorize(lambda far: slot.get(far, len(parts)))

        def taken(which: np.ndarray, column: np.ndarray) -> Array:
            return values[which, :, :, :, column]  # (P, P, 4, 4, block)

        within = taken(find(abs(j - i)), np.minimum(i, j))
        turned = jnp.asarray(j < i)[:, :, None, None, None]
        within = jnp.where(turned, within.swapaxes(2, 3), within)
        upper = taken(find(j + p - i), i)
        join = lambda a: a.transpose(4, 0, 2, 1, 3).reshape(blocks, 4 * p, 4 * p)
        return join(within), join(upper)

    def _band(self) -> Array:
        """Lower band storage `"width unknown"`: row d holds A[j + d, j]; 11 rows, or
        4 P + 4 where cycles touch."""
        number = self.diagonal.shape[2]
        pad = lambda a: jnp.pad(a, ((0, 0), (0, 0), (0, number - a.shape[2])))
        parts = {far: pad(a) for far, a in self.offsets().items()}
        none = jnp.zeros(number, self.diagonal.dtype)

        def entry(d: int, b: int) -> Array:
            far, a = divmod(b + d, 4)
            if far not in parts:
                return none
            return parts[far][a, b] if far == 0 else parts[far][b, a]

        width = 4 * self.around + 4 if self.around else 11
        rows = [jnp.stack([entry(d, b) for b in range(4)]) for d in range(width)]
        return jnp.stack(rows).transpose(0, 2, 1).reshape(width, 4 * number)


def _by_blocks(diagonal: Array, upper: Array, v: Grid) -> Grid:
    """Block Cholesky, forward and back."""
    blocks, size = diagonal.shape[:2]
    number = v.shape[1]
    over = size // 4 * blocks - number
    rhs = jnp.pad(v.T, ((0, over), (0, 0))).reshape(blocks, size)
    solve = jax.scipy.linalg.solve_triangular

    def forward(carry: tuple, item: tuple) -> tuple[tuple, tuple]:
        w, y = carry  # C^-1 U of the block before, and what it left of the right side
        d, u, b = item
        c = jnp.linalg.cholesky(d - w.T @ w, symmetrize_input=False)
        both = solve(
            c, jnp.concatenate([u, (b - w.T @ y)[:, None]], axis=1), lower=True
        )
        return (both[:, :-1], both[:, -1]), (c, both[:, :-1], both[:, -1])

    start = (jnp.zeros_like(upper[0]), jnp.zeros_like(rhs[0]))
    kept = jax.lax.scan(forward, start, (diagonal, upper, rhs))[1]

    def back(x: Array, item: tuple) -> tuple[Array, Array]:
        c, w, y = item
        x = solve(c, y - w @ x, lower=True, trans=1)
        return x, x

    x = jax.lax.scan(back, jnp.zeros_like(rhs[0]), kept, reverse=True)[1]
    return x.reshape(-1, 4)[:number].T


def _by_lapack(band: Array, v: Grid) -> Grid:
    """SciPy's solution of a positive banded system, NaN where it is not positive.

    The callback works on JAX's own buffers: `jax.pure_callback` copies what it hands
    over, which rounds outside of the scope of float64 and, on one core, now and then
    waits for itself for ever (jax issue 24255).
    """
    flat = v.T.reshape(-1)
    shape = jax.ShapeDtypeStruct(flat.shape, flat.dtype)
    solve = buffer_callback(_scipy_banded, shape, vmap_method="sequential")
    return solve(band, flat).reshape(-1, 4).T


def _scipy_banded(_: Any, out: Any, band: Any, v: Any) -> None:
    from scipy.linalg import LinAlgError, solveh_banded

    x = np.asarray(out)
    try:
        x[...] = solveh_banded(
            np.asarray(band), np.asarray(v), lower=True, check_finite=False
        )
    except LinAlgError:
        x[...] = np.nan
