"""How smooth a network is in depth."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from ._places import Place, knots


if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUANTITIES = {
    "sizes": "size of the weights",
    "jumps": "jump to the next step",
    "moves": "length of a move",
    "cosines": "cosine to the next move",
}


@dataclasses.dataclass(frozen=True)
class DepthProfile:
    r"""Weights and states of one block along depth.

    **Shapes:** `depths` `"step"`: middles of the steps in [0, 1]; `sizes` `"step"`:
    $|\theta(t)|$ there; `jumps` `"step - 1"`:
    $2 |\theta_{k+1} - \theta_k| / (|\theta_{k+1}| + |\theta_k|)$; `moves` `"step"`:
    $|x_{k+1} - x_k|$, mean over the inputs; `cosines` `"step - 1"`: of the angle
    between successive moves, mean over the inputs.
    """

    depths: np.ndarray
    sizes: np.ndarray
    jumps: np.ndarray
    moves: np.ndarray
    cosines: np.ndarray

    def plot(
        self, axes: Sequence[Axes] | None = None, *, begin: float = 0.0, **style: Any
    ) -> Sequence[Axes]:
        """The four quantities over depth, each on axes of its own.

        **Arguments:** `axes`: four of them, new ones without; `begin`: where the block
        begins, for several blocks behind each other; `style`: as of `Axes.plot`.
        """
        if axes is None:
            from matplotlib import pyplot as plt

            _, grid = plt.subplots(2, 2, layout="constrained")
            axes = list(grid.flat)
        for ax, (name, words) in zip(axes, QUANTITIES.items(), strict=True):
            values, at = getattr(self, name), begin + self.depths
            if len(values) < len(at):
                at = (at[1:] + at[:-1]) / 2
            ax.plot(at, values, **{"marker": "o", "markersize": 4, **style})
            ax.set_ylabel(words)
        for ax in axes[2:]:
            ax.set_xlabel("depth")
        return axes


def depth_profile(
    block: Any, xs: Array, state: Any = None, *, batched: bool = False
) -> DepthProfile:
    """The profile of a block on one input, or on a batch of them.

    **Arguments:** `xs`: one input of the block; a batch `"sample ..."` with `batched`,
    and always with a state (norms then see all of it). To see a fitted network, give
    it in inference mode.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.depth import DenseUnit, OdeBlock, depth_profile
    >>> unit = DenseUnit(2, 8, key=jax.random.key(0))
    >>> block = OdeBlock(unit, n_basis=3, init="shared")
    >>> depth_profile(block, jnp.ones(2)).jumps.tolist()
    [0.0, 0.0]

    ```
    """
    if state is None and not batched:
        paths = _path(block, xs)[None]
    else:
        paths = _paths(block, xs, state)
    path = np.asarray(paths, np.float64).reshape(*paths.shape[:2], -1)
    moves = np.diff(path, axis=1)
    norms = np.linalg.norm(moves, axis=-1)
    inner = np.sum(moves[:, 1:] * moves[:, :-1], axis=-1)
    scale = norms[:, 1:] * norms[:, :-1]
    cosines = np.where(scale > 0, inner / np.where(scale > 0, scale, 1.0), 0.0)
    at = knots(block.steps)
    middles = [(a + b) / 2 for a, b in pairwise(at)]
    arrays = eqx.filter(block.unit, eqx.is_inexact_array)
    theta = block.basis.values(arrays, [Place(t, False) for t in middles])
    flat = np.concatenate(
        [
            np.asarray(v, np.float64).reshape(len(middles), -1)
            for v in jax.tree.leaves(theta)
        ],
        axis=1,
    )
    sizes = np.linalg.norm(flat, axis=1)
    between = np.linalg.norm(np.diff(flat, axis=0), axis=1)
    mean = 0.5 * (sizes[1:] + sizes[:-1])
    return DepthProfile(
        np.asarray([float(t) for t in middles]),
        sizes,
        np.where(mean > 0, between / np.where(mean > 0, mean, 1.0), 0.0),
        norms.mean(axis=0),
        cosines.mean(axis=0),
    )


@eqx.filter_jit
def _path(block: Any, x: Array) -> Array:
    return block.path(x)


@eqx.filter_jit
def _paths(block: Any, xs: Array, state: Any) -> Array:
    return jax.vmap(block.path, (0, None), axis_name="batch")(xs, state)
