"""What each cycle of a Slinky stores of elastic energy while it moves."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import DataError
from .._precision import precision
from ._elastic_rod import ElasticRod
from ._rod_energy import Elastic, Frames, energies
from ._rod_simulate import RodRun
from ._slinky import AROUND


def cycle_energy(rod: ElasticRod, run: RodRun) -> Float[np.ndarray, "save cycle"]:
    """Elastic energy of each cycle [J]: stretch of its 16 edges, bending and twist at
    its nodes, those at both of its ends by half.

    Their sum is that of the rod but for its two end nodes, where nothing bends.
    **Raises:** `DataError` for a rod that is not of whole cycles.
    """
    if (rod.number - 1) % AROUND:
        raise DataError(
            f"the rod has {rod.number} nodes; whole cycles have 16 each and one at "
            "the end."
        )
    with precision(np.float64):
        return np.asarray(_of_cycles(rod.elastic, jnp.asarray(run.z), run.frames))


@eqx.filter_jit
def _of_cycles(rod: Elastic, z: Array, frames: Frames) -> Array:
    def one(z: Array, frames: Frames) -> Array:
        parts = energies(z, frames, rod)
        stretch = parts["stretch"].reshape(-1, AROUND).sum(axis=1)
        # node k + 1 of element k; the first and the last node have none
        bent = jnp.pad(parts["bend"] + parts["twist"], 1)
        own = bent[:-1].reshape(-1, AROUND)
        inner, first = own[:, 1:].sum(axis=1), bent[::AROUND]
        return stretch + inner + 0.5 * (first[:-1] + first[1:])

    return jax.vmap(one)(z, jax.tree.map(jnp.asarray, frames))
