"""New systems of a family, prepared for an adaptation: each by its own noise."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from .._errors import DataError
from .._precision import cast, precision
from ..data import Trajectories, noise_estimate
from ..nn import bind
from ._family_data import CLEAN, Clips, noise_of, states_of, systems_of
from ._start import refine_start
from ._times import LONGEST, filled


if TYPE_CHECKING:
    from ._family import Family

BEGINNING = 40  # steps of the training, from which a start state is found
ELSEWHERE = 5.0  # error of a law on records that it was not trained on, at most


@dataclasses.dataclass(frozen=True)
class NewData:
    """New systems, prepared: clips `"system clip"`, and how noisy each of them is:
    `variance`, `accounted`, `samples` `"system"`."""

    clips: Clips
    labels: tuple[str, ...]
    clean: bool
    variance: Float[np.ndarray, " system"]
    accounted: Float[np.ndarray, " system"]
    samples: Int[np.ndarray, " system"]
    repeats: float
    low: np.ndarray
    high: np.ndarray
    moves: np.ndarray


def check_scale(family: Family, data: Trajectories) -> None:
    """Refuse values a thousand times those of the training, by name: other units."""
    spread = np.asarray(family.about["spread"])
    seen = np.where(data.mask, data.ys, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a channel not measured
        here = np.sqrt(np.nanmean(seen**2, axis=1))
    high = np.maximum(np.abs(family.about["high"]), np.abs(family.about["low"]))
    usual = np.maximum(spread, high[np.asarray(family.plan.observed)])
    bad = np.argwhere(here > 1e3 * usual)
    if len(bad):
        i, j = bad[0]
        raise DataError(
            f'trajectory "{data.labels[i]}", channel "{data.names[j]}": its values are '
            f"{here[i, j] / usual[j]:.3g} times those of the training systems. Are "
            "they in other units? Convert them first."
        )


def new_data(
    family: Family, data: Trajectories, labels: tuple[str, ...], noise: Any
) -> NewData:
    """Clips of systems that are all taken as exact, or all as noisy (`taken_apart`)."""
    spread = np.asarray(family.about["spread"])
    step = family.about["every"] * family.about["sampling"]
    rows, _ = systems_of(data)
    sd = _noises(data, rows, noise)
    samples = np.array([data.lengths[mine].sum() for mine in rows])
    states, _, clean = states_of(data, family.plan, spread, sd.max(axis=0))
    y0 = _first_states(states, data.labels)
    smooth = states[..., np.asarray(family.plan.observed)]
    if clean and data.us is None:
        data = _thinned(data, step)
    if data.us is None:
        data = filled(data, LONGEST * step)
    batch = data.full(family.dtype)
    most = max(map(len, rows))
    order = np.stack([r[np.arange(most) % len(r)] for r in rows])
    extra = np.arange(most)[None] >= np.array([len(r) for r in rows])[:, None]
    pick = lambda x: np.asarray(x)[order]
    batch = jax.tree.map(pick, batch)
    mask = np.asarray(batch.mask) & ~extra[..., None, None]
    batch = eqx.tree_at(lambda b: b.mask, batch, mask)
    ys = np.where(mask, np.asarray(batch.ys), np.nan)
    # the error of a law is smooth: its samples count for few
    repeats = float(family.about.get("correlation", 1.0)) if clean else 1.0
    known = repeats * family.about["variance"]
    noisy = np.mean((sd / spread) ** 2, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a channel not measured
        low, high = np.nanmin(ys, axis=(1, 2)), np.nanmax(ys, axis=(1, 2))
        # noise leaves the range by itself, and the more often the longer a record
        least, most = np.nanmin(smooth, axis=1)[order], np.nanmax(smooth, axis=1)[order]
        inside = np.fmax(low, np.nanmin(least, 1)), np.fmin(high, np.nanmax(most, 1))
    return NewData(
        Clips(batch, y0[order].astype(family.dtype)),
        labels,
        clean,
        np.maximum(noisy, known),
        _accounted(family, noisy),
        samples,
        repeats,
        *inside,
        (high - low) / spread,
    )


def taken_apart(family: Family, data: Trajectories, noise: Any) -> list[np.ndarray]:
    """The systems (numbers in the order of `systems_of`) that are taken as exact, and
    those that are not: whether start states are looked for is not theirs alone to say
    where they are adapted together."""
    rows, _ = systems_of(data)
    spread = np.asarray(family.about["spread"])
    noisy = np.any(_noises(data, rows, noise) > CLEAN * spread, axis=1)
    return [k for k in (np.flatnonzero(~noisy), np.flatnonzero(noisy)) if len(k)]


def _noises(
    data: Trajectories, rows: Sequence[np.ndarray], noise: Any
) -> Float[np.ndarray, "system obs"]:
    """Standard deviation of the channels of each system: the given one, else its
    own."""
    if noise is not None:
        return np.tile(noise_of(noise, data.names), (len(rows), 1))
    return np.nan_to_num([noise_estimate(data.select(mine)) for mine in rows])


def _accounted(family: Family, noisy: np.ndarray) -> np.ndarray:
    """The squared residual, in spreads, that noise and the error of the law account
    for; the law errs more on records that it was not trained on."""
    about = family.about
    noise = np.asarray(about["noise"]) / np.asarray(about["spread"])
    law = about["variance"] - float(np.mean(noise**2))
    return noisy + ELSEWHERE**2 * max(law, 0.01 * about["variance"])


def _first_states(states: np.ndarray, labels: tuple[str, ...]) -> np.ndarray:
    y0 = states[:, 0]
    if not np.isfinite(y0).all():
        i = int(np.argwhere(~np.isfinite(y0).all(1))[0, 0])
        raise DataError(
            f'trajectory "{labels[i]}": the state at its first sample cannot be told, '
            "too many values are missing there. Let it begin at a sample that is "
            "complete."
        )
    return y0


def found_starts(
    family: Family, data: Trajectories, guess: np.ndarray, etas: np.ndarray
) -> Float[np.ndarray, "traj dim"]:
    """First states `"traj dim"` from which members `etas` `"traj eta"` follow the first
    samples best, as many as a clip of the training has at most."""
    step = family.about["every"] * family.about["sampling"]
    within = data.ts - data.ts[:, :1] <= (BEGINNING + 1e-6) * step
    counts = np.minimum(np.maximum(within.sum(axis=1), 4), data.lengths)
    early = data.gather([np.arange(n) for n in counts], "beginnings")
    if early.us is None:
        early = filled(early, LONGEST * step)
    batch = early.full(family.dtype)
    with precision(family.dtype):
        model = cast(family.model, family.dtype)
        weight = 1.0 / np.asarray(family.about["spread"])
        numbers = (jnp.asarray(x, family.dtype) for x in (etas, guess, weight))
        batch = jax.tree.map(jnp.asarray, batch)
        return np.asarray(_found(model, batch, *numbers), np.float64)


@eqx.filter_jit
def _found(model: Any, batch: Any, etas: Any, guess: Any, weight: Any) -> Any:
    def one(eta: Any, y0: Any, item: Any) -> Any:
        return refine_start(bind(model, eta), y0, item, weight)[0]

    return jax.vmap(one)(etas, guess, batch)


def _thinned(data: Trajectories, step: float) -> Trajectories:
    """Each record at the steps of the training, whatever others are given with it; of
    a short one at least 4 samples are left."""
    keep = []
    for ts, n in zip(data.ts, data.lengths, strict=True):
        every = int(step / np.median(np.diff(ts[:n])) + 1e-6)
        keep.append(np.arange(0, n, max(1, min(every, (n - 1) // 3))))
    return data.gather(keep, "thinned to the steps of the training")
