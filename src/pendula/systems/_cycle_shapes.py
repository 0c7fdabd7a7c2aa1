"""The nodes of a Slinky's cycles, apart from where the cycles are."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ._slinky import AROUND, to_bars


def cycle_shapes(
    nodes: Float[np.ndarray, "*lead node 3"],
) -> Float[np.ndarray, "*lead cycle own 3"]:
    r"""Each cycle's 17 nodes, top to top, in the frame of its own bar: the bar's middle
    is 0, its top lies along y.

    $$ s_j = R(-\alpha_i)\,(x_{16 i + j} - c_i), \quad j = 0, .., 16 $$

    Out of the plane, the cycle's mean is 0.
    **Raises:** `DataError` for nodes that are no whole cycles.
    **Source:** ours.

    ```python
    >>> from pendula.systems import Slinky, cycle_shapes
    >>> shapes = cycle_shapes(Slinky(3).points())
    >>> shapes.shape, bool(abs(shapes[0] - shapes[2]).max() < 1e-12)
    ((3, 17, 3), True)

    ```
    """
    bars, _ = to_bars(nodes)
    count = bars.shape[-2]
    at = AROUND * np.arange(count)[:, None] + np.arange(AROUND + 1)
    own = np.asarray(nodes, np.float64)[..., at, :]
    flat = own[..., :2] - bars[..., None, :2]
    c, s = np.cos(bars[..., 2])[..., None], np.sin(bars[..., 2])[..., None]
    x, y = flat[..., 0], flat[..., 1]
    z = own[..., 2] - own[..., :-1, 2].mean(-1, keepdims=True)
    return np.stack([c * x + s * y, c * y - s * x, z], axis=-1)
