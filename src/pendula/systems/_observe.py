"""How a known system is looked at: partial state, noise, uneven and missing samples."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from .._errors import ConfigError
from ..data import Trajectories


# Random streams: changing one disturbance leaves the draws of the others alone.
_TIMES, _NOISE, _MISSING = 1, 2, 3


def _stream(seed: int, stream: int, row: int) -> np.random.Generator:
    """The generator of one disturbance of one trajectory."""
    return np.random.default_rng((seed, stream, row))


@dataclasses.dataclass(frozen=True)
class Observation:
    r"""What a measurement makes of a state.

    $$ o_{kj} = y_j(t_k) + \sigma_j \varepsilon_{kj}, \quad
       \varepsilon \sim N(0, 1) $$

    **Arguments:**
    - `channels`: names of the observed components; None observes all.
    - `noise`: standard deviation sigma, one for all observed channels or one each,
      in the channel's unit; >= 0.
    - `relative`: `noise` counts in standard deviations of the channel's signal.
    - `irregular`: in [0, 1): every inner sample is moved by up to half this share
      of the shorter neighbouring interval; the order is kept.
    - `missing`: in [0, 1): share of the samples of every channel and trajectory
      that is lost; at least two are kept.

    **Raises:** `ConfigError` for values outside these ranges.
    **Source:** ours.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Trajectories
    >>> from pendula.systems import Observation
    >>> data = Trajectories.from_arrays(np.arange(10.0), np.zeros((10, 1)))
    >>> seen = Observation(noise=0.1, missing=0.3)(data, seed=0)
    >>> int(seen.mask.sum())
    7

    ```
    """

    channels: tuple[str, ...] | None = None
    noise: float | tuple[float, ...] = 0.0
    relative: bool = False
    irregular: float = 0.0
    missing: float = 0.0

    def __post_init__(self) -> None:
        levels = np.atleast_1d(np.asarray(self.noise, np.float64))
        if not np.all(np.isfinite(levels) & (levels >= 0)):
            raise ConfigError(
                f"noise is {self.noise}; standard deviations must be 0 or above."
            )
        for name in ("irregular", "missing"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ConfigError(
                    f"{name} is {value:g}; it is a share and must be in [0, 1)."
                )

    def times(
        self, ts: Float[np.ndarray, " time"], num: int, seed: int
    ) -> Float[np.ndarray, "traj time"]:
        """The sampling times of `num` trajectories around a common grid; first and
        last stay."""
        out = np.tile(np.asarray(ts, np.float64), (num, 1))
        if self.irregular:
            gaps = np.diff(out[0])
            reach = 0.5 * self.irregular * np.minimum(gaps[:-1], gaps[1:])
            for row in range(num):
                draw = _stream(seed, _TIMES, row).uniform(-1.0, 1.0, len(reach))
                out[row, 1:-1] += reach * draw
        return out

    def __call__(self, data: Trajectories, seed: int) -> Trajectories:
        """The observed version of exact data: channels, noise, then losses."""
        if self.channels is not None:
            data = data.channels(self.channels)
        ys, mask = data.ys.copy(), data.mask.copy()
        levels = self._levels(data)
        for row in range(data.num):
            n = int(data.lengths[row])
            if np.any(levels > 0):
                draw = _stream(seed, _NOISE, row).normal(size=(n, data.dim))
                ys[row, :n] += levels * draw
            if self.missing:
                lost = min(round(self.missing * n), n - 2)
                random = _stream(seed, _MISSING, row)
                for j in range(data.dim):
                    mask[row, random.permutation(n)[:lost], j] = False
        note = f"observed: noise {levels.tolist()}, missing {self.missing:g}"
        return data.replace(note, ys=np.where(mask, ys, 0.0), mask=mask)

    def _levels(self, data: Trajectories) -> Float[np.ndarray, " dim"]:
        """Standard deviation of the noise of every channel."""
        levels = np.asarray(self.noise, np.float64)
        if levels.ndim and levels.shape != (data.dim,):
            raise ConfigError(
                f"noise has {levels.size} values; give one, or one for each of the "
                f"{data.dim} observed channels ({', '.join(data.names)})."
            )
        levels = np.broadcast_to(levels, (data.dim,))
        if not self.relative:
            return levels
        seen = (data.ys[..., j][data.mask[..., j]] for j in range(data.dim))
        return levels * np.array([np.std(values) for values in seen])
