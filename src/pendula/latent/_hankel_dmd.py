"""Dynamic mode decomposition of windows: for one or few observables."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .._checks import whole
from .._errors import ConfigError
from ._dmd import LinearForecast, check_rank, projected_map, warn_of_growth
from ._series import Series, rounding, series


@dataclasses.dataclass(frozen=True)
class HankelDMD:
    r"""The linear map of windows of snapshots, each to the one a step later.

    $$ h_t = (y_{t-d+1}, \dots, y_t), \quad h_{t+1} \approx A h_t $$

    A signal of n frequencies obeys such a map from d m = 2 n numbers on, however few
    are observed at a time.

    **Arguments:**
    - `delays`: d, snapshots in a window. More of them average noise, which draws the
      eigenvalues inwards as it does for `ExactDMD`.
    - `rank`: of the map; None: all directions that are not rounding in the type of the
      data.

    **Raises:** `ConfigError` for fewer than one delay or a rank below 1.
    **Source:** Arbabi, Mezic 2017, SIAM J. Applied Dynamical Systems 16, 2096-2126.

    ```python
    >>> import numpy as np
    >>> from pendula.latent import HankelDMD
    >>> t = np.arange(100.0)[:, None]
    >>> signal = np.sin(0.3 * t) + 0.5 * np.sin(0.7 * t + 1)
    >>> found = HankelDMD(delays=8, rank=4).fit(signal[:60])
    >>> bool(np.allclose(found.predict(signal[52:60], 40), signal[60:], atol=1e-6))
    True

    ```
    """

    delays: int = 10
    rank: int | None = None

    def __post_init__(self) -> None:
        whole(1, delays=self.delays)
        check_rank(self.rank)

    def fit(
        self, ys: Series, dt: float | None = None, *, ts: ArrayLike | None = None
    ) -> LinearForecast:
        """The map of equally spaced snapshots; arguments, errors and warnings as those
        of `ExactDMD.fit`. Its forecasts begin with the last `delays` snapshots."""
        parts, step = series(ys, dt, ts)
        short = min(len(one) for one in parts)
        pairs = sum(len(one) - self.delays for one in parts)
        if short < self.delays + 1 or pairs < (self.rank or 1):
            raise ConfigError(
                f"windows of {self.delays} snapshots and rank {self.rank or 1} from "
                f"{short} snapshots; they give {max(pairs, 0)} pairs of windows, and "
                "as many are needed as the rank. Lower both, or give more snapshots."
            )
        rows = [delay_windows(one, self.delays) for one in parts]
        before = np.concatenate([one[:-1] for one in rows])
        after = np.concatenate([one[1:] for one in rows])
        basis, operator = projected_map(before, after, self.rank, rounding(ys))
        found = LinearForecast.of(basis, operator, step, self.delays)
        warn_of_growth(found.rates, parts, step * (max(map(len, parts)) - 1))
        return found


def delay_windows(
    rows: Float[np.ndarray, "time m"], delays: int
) -> Float[np.ndarray, "window d"]:
    """Every window of `delays` rows as one row of `d = delays * m` numbers, oldest
    first.

    ```python
    >>> import numpy as np
    >>> from pendula.latent import delay_windows
    >>> delay_windows(np.array([[1.0], [2.0], [3.0]]), 2).tolist()
    [[1.0, 2.0], [2.0, 3.0]]

    ```
    """
    seen = np.lib.stride_tricks.sliding_window_view(rows, delays, axis=0)
    return np.swapaxes(seen, 1, 2).reshape(len(seen), -1)
