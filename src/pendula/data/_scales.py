"""Scales: what makes each channel and the time of order one."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from .._errors import ConfigError, DataWarning
from ._local import local_states
from ._trajectories import Trajectories


NUM_FOR_TIME = 3  # the longest trajectories tell the time scale


@dataclasses.dataclass(frozen=True, eq=False)
class Scales:
    r"""Mean and scale of every channel and input, and a time scale.

    $$ \tilde y = (y - m) / s, \quad \tilde u = (u - m_u) / s_u, \quad
       \tilde t = t / \tau $$

    **Shapes and units:** `mean`, `scale` `"dim"` in the channels' units; `time` a
    number in the unit of time; `input_mean`, `input_scale` `"ctrl"`. Scales are
    positive. Built by `Scales.fit` from training data only, or by hand from given
    characteristic quantities.
    **Raises:** `ConfigError` for scales that are not positive.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Scales, Trajectories
    >>> t = np.linspace(0, 6 * np.pi, 400)
    >>> s = Scales.fit(Trajectories.from_arrays(t, 3 + 2 * np.sin(2 * t)))
    >>> print(s.mean.round(1), s.scale.round(1), round(s.time, 1))
    [3.] [1.4] 0.5

    ```
    """

    mean: Float[np.ndarray, " dim"]
    scale: Float[np.ndarray, " dim"]
    time: float
    input_mean: Float[np.ndarray, " ctrl"]
    input_scale: Float[np.ndarray, " ctrl"]

    def __post_init__(self) -> None:
        for name in ("mean", "scale", "input_mean", "input_scale"):
            value = np.asarray(getattr(self, name), np.float64)
            object.__setattr__(self, name, value)
        object.__setattr__(self, "time", float(self.time))
        for name in ("scale", "input_scale", "time"):
            value = np.asarray(getattr(self, name))
            if not np.all(np.isfinite(value) & (value > 0)):
                raise ConfigError(f"{name} {value} must be positive and finite.")

    @classmethod
    def fit(cls, data: Trajectories, time: float | None = None) -> Scales:
        """From training data: means and standard deviations over all valid samples,
        and `time_scale` unless `time` is given. **Warns:** `DataWarning` for a
        constant channel or input, whose scale is 1."""
        real = np.arange(data.ts.shape[1])[None] < data.lengths[:, None]
        mean, scale = np.zeros(data.dim), np.ones(data.dim)
        for j, name in enumerate(data.names):
            values = data.ys[:, :, j][data.mask[:, :, j]]
            mean[j], scale[j] = _moments(values, f'channel "{name}"')
        input_mean, input_scale = np.zeros(data.ctrl), np.ones(data.ctrl)
        if data.us is not None:
            for j, name in enumerate(data.input_names):
                moments = _moments(data.us[:, :, j][real], f'input "{name}"')
                input_mean[j], input_scale[j] = moments
        tau = time_scale(data) if time is None else time
        return cls(mean, scale, tau, input_mean, input_scale)

    def down(self, ys: Float[np.ndarray, "*any dim"]) -> Float[np.ndarray, "*any dim"]:
        """Physical -> scaled, `"*any dim"`."""
        return (ys - self.mean) / self.scale

    def up(self, ys: Float[np.ndarray, "*any dim"]) -> Float[np.ndarray, "*any dim"]:
        """Scaled -> physical, `"*any dim"`."""
        return ys * self.scale + self.mean

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dict; `from_dict` gives the same bits back."""
        return {k: np.asarray(v).tolist() for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Scales:
        """From what `to_dict` gave."""
        arrays = {k: np.asarray(v, np.float64) for k, v in record.items()}
        return cls(**{**arrays, "time": float(arrays["time"])})


def _moments(values: np.ndarray, what: str) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    mean, sd = float(values.mean()), float(values.std())
    # rounding of a constant leaves a spread of some units in the last place
    if sd > 1e-12 * float(np.abs(values).max()):
        return mean, sd
    warnings.warn(
        f"{what} is constant ({values[0]:g}) in the training data: its scale is set "
        "to 1, and nothing can be learned of it.",
        DataWarning,
        stacklevel=4,
    )
    return mean, 1.0


def time_scale(data: Trajectories) -> float:
    r"""Spread over root mean square rate, the median over the channels, in the unit
    of time: $P / 2\pi$ for oscillations of period P.

    Rates are `local_states` of the three longest trajectories; a channel without
    motion is passed over. Nothing moves: the mean length of the records.
    """
    return time_scales(data)[0]


def time_scales(data: Trajectories) -> tuple[float, float]:
    """`time_scale`, and the same of rate over acceleration."""
    order = np.argsort(-data.mask.sum(axis=(1, 2)), kind="stable")[:NUM_FOR_TIME]
    found = []
    for j in range(data.dim):
        rows = [i for i in order if data.mask[i, :, j].sum() >= 3]
        if not rows:
            continue
        part = data.select(np.sort(rows)).channels(data.names[j : j + 1])
        state, there = local_states(part), part.mask
        spread = float(part.ys[there].std())
        rate = float(np.sqrt(np.mean(state.v[there] ** 2)))
        bend = float(np.sqrt(np.mean(state.a[there] ** 2)))
        if rate > 0 and spread > 1e-12 * float(np.abs(part.ys).max()):
            found.append((spread / rate, rate / bend if bend > 0 else np.inf))
    record = float(np.mean(data.ts[:, -1] - data.ts[:, 0]))
    if not found:
        return record, record
    first, second = np.median(found, axis=0)
    return float(first), float(min(second, record))
