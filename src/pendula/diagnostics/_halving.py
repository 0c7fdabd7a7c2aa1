"""Does the forecast depend on the solver's step?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from .._errors import ShapeError
from ._shapes import aligned


@dataclasses.dataclass(frozen=True)
class Halving:
    """How far the forecast moves when the step is halved.

    **Shapes and units:** `change` `"time"`: root mean square over the channels of
    the difference, in their unit (or in that of `scale`); `ratio` `"time"`: change
    over the forecast's error, infinite where the rollout failed or the error is 0
    and the change is not.
    """

    change: np.ndarray
    ratio: np.ndarray


def step_halving(
    rollout: Callable[[int], ArrayLike],
    error: ArrayLike,
    *,
    scale: ArrayLike | None = None,
) -> Halving:
    r"""Change of a forecast when every solver step is cut in two.

    $$ r(t) = \|y_{h/2}(t) - y_h(t)\| \,/\, \epsilon(t) $$

    For a scheme of order p, $\|y_{h/2} - y_h\| = (1 - 2^{-p})$ of the solver's
    error: a ratio below 0.1 means that the error is the model's and not the
    solver's.

    **Arguments:**
    - `rollout`: `rollout(refine)` gives the forecast `"time obs"` with `refine`
      times as many steps; it is called with 1 and 2.
    - `error`: the forecast's typical error, a number or `"time"`, in the unit of
      the channels (or of `scale`).
    - `scale`: a number or `"obs"` by which channels of different units are divided.

    **Raises:** `ShapeError`.

    ```python
    >>> import numpy as np
    >>> from pendula.diagnostics import step_halving
    >>> steps = lambda n: np.array([[1.0], [(1 - 0.1 / n) ** n]])  # Euler, y' = -y
    >>> print(step_halving(steps, 0.05).ratio)
    [0.   0.05]

    ```
    """
    coarse, fine = aligned(
        ("rollout(1)", rollout(1), "time obs"), ("rollout(2)", rollout(2), "time obs")
    )
    width = np.ones(()) if scale is None else np.asarray(scale, np.float64)
    if width.ndim and width.shape != coarse.shape[1:]:
        raise ShapeError(
            f"scale {width.shape} must be a number or have one entry for each of the "
            f"{coarse.shape[1]} channels."
        )
    error = np.asarray(error, np.float64)
    if not error.ndim:
        error = np.broadcast_to(error, coarse.shape[:1])
    coarse, error = aligned(
        ("rollout(1)", coarse, "time obs"), ("error", error, "time")
    )
    with np.errstate(invalid="ignore", over="ignore"):
        change = np.sqrt(np.mean(((fine - coarse) / width) ** 2, axis=1))
    change = np.where(np.isnan(change), np.inf, change)
    failed = np.isinf(change)  # a forecast whose error is infinite, too
    safe = np.where((error > 0) & ~failed, error, 1.0)
    ratio = np.where(error > 0, change / safe, np.where(change > 0, np.inf, 0.0))
    return Halving(change, np.where(np.isnan(error), np.nan, ratio))
