"""From the trajectories of a family to what its fit needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._checks import not_negative
from .._errors import ConfigError, DataError, ShapeError
from .._numbers import numbers
from .._types import AnyArray
from ..data import Batch, Trajectories, noise_estimate
from ._config import FitConfig, ModelConfig
from ._layout import Layout
from ._prepare import (
    chosen_every,
    chosen_substeps,
    decided_plan,
    estimate_states,
    observed_spread,
    ranges_of,
    sampling_step,
    shortest_period,
)
from ._slots import Ranges


CLEAN = 1e-3  # noise over spread below which a measured state is taken as it is


class Clips(eqx.Module):
    """Clips with their start states, arrays with any leading axes (system, clip)."""

    batch: Batch
    y0: Float[AnyArray, "*lead dim"]


@dataclasses.dataclass(frozen=True)
class FamilyData:
    """Trajectories of a family, system by system, and what was decided of them.

    `rows` are the trajectories of each system; `states` `"traj time dim"` the start
    states that clips may have, `clean` whether they are taken as exact; `spread`
    `"obs"` and `noise` `"obs"` of the channels.
    """

    data: Trajectories
    rows: tuple[np.ndarray, ...]
    labels: tuple[str, ...]
    plan: Layout
    states: np.ndarray
    ranges: Ranges
    spread: np.ndarray
    noise: np.ndarray
    clean: bool
    every: int
    substeps: int
    sampling: float
    period: float

    @property
    def num(self) -> int:
        """Number of systems."""
        return len(self.rows)

    def clips(self, length: int, stride: int, dtype: Any) -> list[Clips]:
        """All clips of `length` samples, system by system."""
        out = []
        for rows in self.rows:
            part = self.data.select(rows)
            batch = part.clips(length, stride, every=self.every, dtype=dtype)
            out.append(Clips(batch, starts_of(self.states[rows], batch, dtype)))
        return [_usable(clips) for clips in out]


def widths_of(low: Any, high: Any) -> Float[np.ndarray, " dim"]:
    """What start states are counted in, whatever the units of the data: the range that
    training visited, 1 where it is none."""
    width = np.asarray(high, float) - np.asarray(low, float)
    return np.where(width > 0, width, 1.0)


def starts_of(states: np.ndarray, batch: Batch, dtype: Any) -> Any:
    """The states `"clip dim"` at which clips begin."""
    origin = np.asarray(batch.origin)
    return states[origin[:, 0], origin[:, 1]].astype(dtype)


def _usable(clips: Clips) -> Clips:
    """Without clips whose start is unknown or that hold nothing."""
    seen = np.asarray(clips.batch.mask)[:, 1:].any((1, 2))
    good = np.isfinite(clips.y0).all(1) & seen
    if not good.any():
        raise DataError(
            "a system has no clip with a known start and a measured sample after it. "
            "Give longer records of it, or leave it out."
        )
    return jax.tree.map(lambda x: np.asarray(x)[good], clips)


def drawn(
    clips: list[Clips],
    count: int,
    rng: np.random.Generator,
    spread: np.ndarray | None = None,
) -> Clips:
    """`count` random clips of every system, stacked `"system clip ..."`: different
    ones as long as there are enough. With the `spread` of the channels half of the
    chance goes by the way that a clip covers: a fast transient is short in time, and
    would hardly be seen."""
    picked = []
    for mine in clips:
        number = len(mine.y0)
        if spread is None or number <= count:
            order = rng.permutation(number)
            take = order[np.arange(count) % number]
        else:
            way = _way(mine, spread)
            chance = 0.5 / number + 0.5 * way / way.sum()
            take = rng.choice(number, count, replace=False, p=chance)
        picked.append(jax.tree.map(lambda x, take=take: x[take], mine))
    return jax.tree.map(lambda *x: jnp.asarray(np.stack(x)), *picked)


def _way(clips: Clips, spread: np.ndarray) -> np.ndarray:
    """How far each clip moves `"clip"`, in spreads, gaps left out."""
    ys = np.where(clips.batch.mask, clips.batch.ys, np.nan) / spread
    steps = np.nan_to_num(np.linalg.norm(np.diff(ys, axis=1), axis=2))
    return steps.sum(1) + 1e-12


def systems_of(data: Trajectories) -> tuple[tuple[np.ndarray, ...], tuple[str, ...]]:
    """The trajectories of each system and its name, in the order of the names; without
    a system index each trajectory is a system of its own.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Trajectories
    >>> from pendula.dynamics import systems_of
    >>> t = np.arange(4.0)
    >>> d = Trajectories.from_arrays([t] * 3, [t[:, None]] * 3)
    >>> systems_of(d.replace(env=np.array([1, 0, 1])))[0]
    (array([1]), array([0, 2]))

    ```
    """
    if data.env is None:
        rows = tuple(np.array([i]) for i in range(data.num))
        return rows, data.labels
    values = np.unique(data.env)
    rows = tuple(np.flatnonzero(data.env == v) for v in values)
    return rows, tuple(str(v) for v in values)


def family_data(
    data: Trajectories, model: ModelConfig, every: int, seed: int, exact: bool = False
) -> FamilyData:
    """Look at the trajectories of a family; `exact`: nothing of them is noise.

    **Raises:** `DataError` for one system only, or clips that are too short.
    """
    rows, labels = systems_of(data)
    if len(rows) == 1:
        raise DataError(
            "there is one system in the data: a family needs several. Fit it by "
            "itself with pendula.fit, or name the column of the system."
        )
    check_lengths(data)
    config = FitConfig(model=model, seed=seed)
    plan = decided_plan(data, config, [])
    period, sampling = shortest_period(data), sampling_step(data)
    if every > 1 and data.us is not None:
        raise ConfigError("with inputs, every must be 1.")
    every = every or chosen_every(data, period, sampling, "levenberg")
    substeps = chosen_substeps(model, sampling * every, period)
    spread = observed_spread(data)
    estimated = estimate_states(data, plan)
    noise = np.zeros(data.dim) if exact else noise_estimate(data)
    states, _, clean = states_of(data, plan, spread, noise, estimated.ys)
    ranges = ranges_of(data, plan, estimated)
    return FamilyData(
        data,
        rows,
        labels,
        plan,
        states,
        ranges,
        spread,
        noise,
        clean,
        every,
        substeps,
        sampling,
        period,
    )


def states_of(
    data: Trajectories,
    plan: Layout,
    spread: Any,
    noise: Any = None,
    estimated: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """States `"traj time dim"` at every sample, the noise `"obs"`, and whether it is so
    small beside the spread that measured states are taken as they are, and nothing of
    the state is hidden; else estimated ones. Without `noise` it is estimated."""
    sd = noise_estimate(data) if noise is None else noise_of(noise, data.names)
    sd = np.nan_to_num(np.asarray(sd, float))
    states = estimate_states(data, plan).ys if estimated is None else estimated
    if np.any(sd > CLEAN * np.asarray(spread)):
        return states, sd, False
    states = states.copy()
    for channel, entry in enumerate(plan.observed):
        seen = data.mask[..., channel]
        states[..., entry] = np.where(seen, data.ys[..., channel], states[..., entry])
    return states, sd, len(plan.observed) == plan.dim


def noise_of(noise: Any, names: Sequence[str]) -> Float[np.ndarray, "obs"]:
    """A standard deviation for each channel, from one for all or one each.

    **Raises:** `ShapeError`, `ConfigError` for one that is negative or not finite.
    """
    sd = numbers("noise", noise)
    if sd.shape not in ((), (1,), (len(names),)):
        raise ShapeError(
            f"noise has shape {sd.shape}; give one number, or one for each of the "
            f"channels {', '.join(names)}."
        )
    for value in np.atleast_1d(sd):
        not_negative(noise=float(value))
    return np.broadcast_to(sd, (len(names),))


def check_lengths(data: Trajectories) -> None:
    """Refuse records of fewer than 4 samples, by name."""
    short = np.flatnonzero(data.lengths < 4)
    if len(short):
        raise DataError(
            f'trajectory "{data.labels[short[0]]}" has {data.lengths[short[0]]} '
            "samples; a family needs at least 4 each. Leave it out, or join it to its "
            "neighbours."
        )
