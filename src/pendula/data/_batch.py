"""What a loss sees: stretches of trajectories as arrays, nothing else."""

from __future__ import annotations

import equinox as eqx
from jaxtyping import Bool, Float, Int

from .._types import AnyArray


class Batch(eqx.Module):
    """What a loss sees of some stretches of trajectories: arrays only.

    **Shapes and units**: `dts` `"traj step"` steps (differenced in float64, then
    cast; 0 where padded), `t0` `"traj"`, `ys` and `mask` `"traj time dim"`, `us`
    `"traj step 4 ctrl"` (polynomial coefficients of the inputs) or None, `context`
    `"traj ctx"` or None, `origin` `"traj 2"`: row and first sample in the
    container the batch was cut from.
    """

    dts: Float[AnyArray, "traj step"]
    t0: Float[AnyArray, " traj"]
    ys: Float[AnyArray, "traj time dim"]
    mask: Bool[AnyArray, "traj time dim"]
    us: Float[AnyArray, "traj step 4 ctrl"] | None
    context: Float[AnyArray, "traj ctx"] | None
    origin: Int[AnyArray, "traj 2"]
