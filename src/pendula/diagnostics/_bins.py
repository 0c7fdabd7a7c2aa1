"""Horizon bins that hold about the same number of samples each."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .._errors import ConfigError


def upper_edges(horizons: ArrayLike, bins: int | ArrayLike = 8) -> np.ndarray:
    """The last horizon of each bin, `"bin"`, increasing.

    Bin b holds the horizons above the edge before it and up to its own. The
    distinct horizons are shared out evenly; with fewer of them than `bins` each
    has a bin of its own. Edges given instead of a number are checked and kept.

    **Raises:** `ConfigError` for no finite horizon, or edges that do not increase.

    ```python
    >>> import numpy as np
    >>> from pendula.diagnostics._bins import upper_edges
    >>> print(upper_edges(np.arange(8.0), 4), upper_edges([0.5, 0.1], 8))
    [1. 3. 5. 7.] [0.1 0.5]

    ```
    """
    if np.ndim(bins):
        edges = np.asarray(bins, np.float64)
        if not (
            len(edges) and np.all(np.isfinite(edges)) and np.all(np.diff(edges) > 0)
        ):
            raise ConfigError(f"the edges of bins must increase; found {edges}.")
        return edges
    count = int(np.asarray(bins))
    distinct = np.unique(np.asarray(horizons, np.float64))
    distinct = distinct[np.isfinite(distinct)]
    if count < 1 or not len(distinct):
        raise ConfigError(
            f"{len(distinct)} horizon(s) cannot be put into {count} bin(s). At least "
            "one of each is needed."
        )
    last = np.ceil(np.arange(1, count + 1) * len(distinct) / count).astype(int) - 1
    return distinct[np.unique(last[last >= 0])]


def place(horizons: ArrayLike, edges: np.ndarray) -> np.ndarray:
    """The bin of each horizon, of its shape; beyond the last edge the last bin."""
    horizons = np.asarray(horizons, np.float64)
    return np.minimum(np.searchsorted(edges, horizons, side="left"), len(edges) - 1)
