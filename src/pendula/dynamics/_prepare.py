"""From trajectories to what a fit needs: thinning, split, states, ranges."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from .._errors import ConfigError, DataError
from .._units import with_unit
from ..data import (
    Scales,
    Trajectories,
    decide_order,
    dominant_period,
    local_states,
    noise_estimate,
    split,
)
from ..solve import scheme
from ._body_guess import body_guesses, has_body
from ._config import FitConfig, ModelConfig
from ._first_guess import Guess, first_guesses
from ._known_terms import spreads
from ._layout import Layout, layout
from ._slots import Ranges
from ._times import GAP, affordable, filled


SAMPLES_PER_PERIOD = {"adam": 24, "levenberg": 48}
# RK4 at 0.1 rad per step has a phase error of 1e-7 rad a step.
MAX_PHASE = 0.1
STRAY = 2.0  # widths of the middle 90 % of the values: further off a lone one is wild
LARGEST = 1e36  # value of a channel: single precision ends at 3e38


@dataclasses.dataclass(frozen=True)
class States:
    """Estimated states and rates at every sample of a container: `ys`, `rates`
    `"traj time dim"` (NaN where unknown)."""

    ys: np.ndarray
    rates: np.ndarray


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The data of a fit, thinned and split, with what was decided. `given` are the
    data as they came; in the others gaps are filled with times that nothing was
    measured at."""

    given: Trajectories
    whole: Trajectories
    train: Trajectories
    validation: Trajectories
    plan: Layout
    states: States
    ranges: Ranges
    period: float
    noise: np.ndarray
    every: int
    substeps: int
    sampling: float
    decisions: tuple[dict[str, str], ...]
    split: dict[str, Any]
    guesses: dict[int, dict[str, Guess]]


def prepare(data: Trajectories, config: FitConfig, method: str) -> Prepared:
    """Thin, split and look at the data.

    **Raises:** `DataError` when there is too little, `ConfigError` for settings that
    do not fit the data.
    """
    _check_size(data)
    decisions: list[dict[str, str]] = list(data.origin.get("decisions", []))
    plan = decided_plan(data, config, decisions)
    period = shortest_period(data)
    sampling = sampling_step(data)
    every = config.every
    if every == 0:
        every = chosen_every(data, period, sampling, method)
        if every > 1:
            decisions.append(
                {
                    "what": "samples used",
                    "choice": f"every {every}th",
                    "why": "the dominant period "
                    f"{with_unit(f'{period:.4g}', data.time_unit)} keeps "
                    f"{period / sampling / every:.0f} samples",
                    "option": "--every",
                }
            )
    if every > 1 and data.us is not None:
        raise ConfigError(
            f"every is {every}, but the data have inputs, whose path would be "
            "thinned too. Use --every 1."
        )
    train, validation, info = split(data, config.validation, seed=config.seed)
    decisions.append(
        {
            "what": "validation",
            "choice": info.get("text", str(info)),
            "why": "held out from training, for scores and intervals",
            "option": "--validation",
        }
    )
    Scales.fit(train, 1.0)  # it warns of what stands still
    states = estimate_states(train, plan)
    ranges = ranges_of(train, plan, states)
    starts = body_guesses if has_body(config.model) and plan.n else first_guesses
    guesses = starts(config.model, plan, states.ys, states.rates, train.us)
    decisions += _starts_said(config, guesses)
    substeps = chosen_substeps(config.model, sampling * every, period)
    longest = GAP * sampling * every
    whole, train, validation = (
        filled(d, affordable(d, longest)) for d in (data, train, validation)
    )
    if train.ts.shape != states.ys.shape[:2]:
        states = estimate_states(train, plan)
        # within a gap they are good enough to start from, not to learn rates from
        states.rates[~train.mask.any(-1)] = np.nan
    return Prepared(
        data,
        whole,
        train,
        validation,
        plan,
        states,
        ranges,
        period,
        noise_estimate(data),
        every,
        substeps,
        sampling,
        tuple(decisions),
        info,
        guesses,
    )


def _check_size(data: Trajectories) -> None:
    """`DataError` for values whose rates single precision cannot hold."""
    for j, name in enumerate(data.names):
        largest = np.abs(data.ys[:, :, j]).max()
        if largest > LARGEST:
            raise DataError(
                f'channel "{name}" has values up to {largest:.3g}; at most {LARGEST:g} '
                "can be learned. Use a larger unit, or leave the column out."
            )


def chosen_every(
    data: Trajectories, period: float, sampling: float, method: str
) -> int:
    """Samples skipped so that a dominant period keeps enough; none with inputs."""
    if data.us is not None or not np.isfinite(period):
        return 1
    return max(1, int(period / sampling / SAMPLES_PER_PERIOD[method]))


def chosen_substeps(model: ModelConfig, step: float, period: float) -> int:
    """Solver steps per interval: as set, or by the phase that one may turn."""
    if model.substeps:
        return model.substeps
    substeps = 1
    if np.isfinite(period):
        substeps = max(1, int(np.ceil(2 * np.pi * step / period / MAX_PHASE)))
    return substeps if scheme(model.scheme).order >= 4 else 4 * substeps


def _starts_said(
    config: FitConfig, guesses: dict[int, dict[str, Guess]]
) -> list[dict[str, str]]:
    """The starts of unknown constants, as decisions."""
    return [
        {
            "what": f"start of {name} ({config.model.known[i].term})",
            "choice": f"{guess.start:.4g}",
            "why": "least squares on the estimated accelerations",
            "option": f"--constant {name}=VALUE",
        }
        for i, found in guesses.items()
        for name, guess in found.items()
    ]


def decided_plan(data: Trajectories, config: FitConfig, decisions: list) -> Layout:
    """The state behind the channels; what was decided of them joins `decisions`."""
    order = config.model.order
    if order == "auto" and (config.model.learn == "reaction" or spreads(config.model)):
        # values at the nodes of a line: none of them is another's velocity
        return layout(data.names, ["first"] * data.dim)
    found, why = decide_order(data)
    kinds = [found[name].kind for name in data.names]
    if order == "auto":
        decisions.extend(d.to_dict() for d in why)
    elif order == "first":
        kinds = ["first"] * data.dim
    else:
        kinds = ["second" if k == "first" else k for k in kinds]
    pairs = {}
    plain = []
    for j, kind in enumerate(kinds):
        if kind == "rate":
            pairs[j] = data.names.index(found[data.names[j]].partner)
            plain.append("velocity")
        else:
            plain.append("second" if kind in ("position", "second") else "first")
    plan = layout(data.names, plain, pairs)
    hidden = plan.n > 0 and all(c is None for c in plan.velocities)
    canonical = config.model.learn == "hamiltonian" and hidden
    return dataclasses.replace(plan, canonical=canonical)


def shortest_period(data: Trajectories) -> float:
    """The shortest dominant period of all channels, NaN when there is none."""
    periods = dominant_period(data)
    good = periods[np.isfinite(periods)]
    return float(good.min()) if len(good) else float("nan")


def sampling_step(data: Trajectories) -> float:
    """The middle step between samples."""
    steps = np.diff(data.ts, axis=1)
    return float(np.median(steps[steps > 0]))


def estimate_states(data: Trajectories, plan: Layout) -> States:
    """States (q, v, z) and their rates from smoothed local polynomials.

    A measured velocity is used as such; a hidden one is the slope of its
    position.
    """
    n, dim = plan.n, plan.dim
    here = local_states(data)
    ys = np.full((*data.ts.shape, dim), np.nan)
    rates = np.full_like(ys, np.nan)
    for k, (position, velocity) in enumerate(
        zip(plan.positions, plan.velocities, strict=True)
    ):
        ys[..., k] = here.q[..., position]
        if velocity is None:
            ys[..., n + k] = here.v[..., position]
            rates[..., n + k] = here.a[..., position]
        else:
            ys[..., n + k] = here.q[..., velocity]
            rates[..., n + k] = here.v[..., velocity]
        rates[..., k] = ys[..., n + k]
    for k, channel in enumerate(plan.first):
        ys[..., 2 * n + k] = here.q[..., channel]
        rates[..., 2 * n + k] = here.v[..., channel]
    padded = np.arange(data.ts.shape[1])[None] >= data.lengths[:, None]
    ys[padded], rates[padded] = np.nan, np.nan
    return States(ys, rates)


def ranges_of(train: Trajectories, plan: Layout, states: States) -> Ranges:
    """What the training data visit."""
    dim = plan.dim
    ys = states.ys.reshape(-1, dim)
    rates = states.rates.reshape(-1, dim)
    real = np.isfinite(ys).all(axis=1)
    ys, rates = ys[real], rates[real]
    # One-sided estimates at the ends of noisy records stray far.
    low, high = np.quantile(ys, [0.001, 0.999], axis=0)
    still = ~_varies(ys)
    for k, velocity in enumerate(plan.velocities):
        still[plan.n + k] |= still[k] and velocity is None
    scale = np.where(still, 1.0, spread_of(ys))
    low, high = np.where(still, ys.mean(0), [low, high])  # rounding is no range
    us = np.zeros((1, 0)) if train.us is None else train.us.reshape(-1, train.ctrl)
    flags = [False] * dim
    for k, position in enumerate(plan.positions):
        flags[k] = train.angle[position]
    out = np.concatenate(
        [rates[:, plan.n : 2 * plan.n], rates[:, 2 * plan.n :]], axis=1
    )
    # of what stands still, or moves evenly, the rates are rounding
    q, v = still[: plan.n], still[plan.n : 2 * plan.n]
    even = np.concatenate([q | v, still[2 * plan.n :]])
    return Ranges(
        ys.mean(0),
        scale,
        low,
        high,
        us.mean(0),
        spread_of(us),
        us.min(0),
        us.max(0),
        np.where(even, 1.0, spread_of(out)),
        tuple(flags),
    )


def observed_spread(data: Trajectories) -> np.ndarray:
    """`spread_of` what was measured of each channel `"obs"`."""
    return spread_of(np.where(data.mask, data.ys, np.nan))


def without_strays(data: Trajectories) -> np.ndarray:
    """What was measured `"traj time obs"`, NaN where nothing was and for lone samples
    far from all others: one of them would make room for a bad forecast. A record may
    begin or end far off."""
    values = np.where(data.mask, data.ys, np.nan)
    for j in range(data.dim):
        seen = data.ys[..., j][data.mask[..., j]]
        low, middle, high = (
            np.quantile(seen, [0.05, 0.5, 0.95]) if len(seen) else [0] * 3
        )
        if not high > low:
            continue
        far = np.abs(values[..., j] - middle) > STRAY * (high - low)
        lone = far[:, 1:-1] & ~far[:, :-2] & ~far[:, 2:]
        values[:, 1:-1, j][lone] = np.nan
    return values


def spread_of(values: np.ndarray) -> np.ndarray:
    """Standard deviation `"dim"` of the values `"*any dim"` that are there (NaN: none);
    1 for what does not vary."""
    varies = _varies(values)
    if not varies.any():
        return np.ones(len(varies))
    over = tuple(range(values.ndim - 1))
    return np.where(varies, np.nanstd(np.where(varies, values, 0.0), axis=over), 1.0)


def _varies(values: np.ndarray) -> np.ndarray:
    """Which columns do: rounding of a constant leaves some units in the last place."""
    over = tuple(range(values.ndim - 1))
    low = np.fmin.reduce(values, over, initial=np.nan)
    high = np.fmax.reduce(values, over, initial=np.nan)
    return high - low > 1e-12 * np.fmax(np.abs(low), np.abs(high))
