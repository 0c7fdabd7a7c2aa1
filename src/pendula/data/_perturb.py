"""Worse data from good data: noise, lost samples; and onto an even grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._errors import ConfigError, DataError
from ._sampling import steps
from ._trajectories import Trajectories


def generator(key: Any) -> np.random.Generator:
    """A NumPy generator from a seed (an integer) or a JAX key."""
    if isinstance(key, int | np.integer):
        return np.random.default_rng(int(key))
    import jax  # only who has a key has it loaded

    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())


def add_noise(
    data: Trajectories, key: Any, level: float, *, absolute: bool = False
) -> Trajectories:
    r"""Independent normal noise on every valid observation.

    $$ \tilde y_{kj} = y_{kj} + \sigma_j \varepsilon_{kj}, \quad
       \sigma_j = \ell \, \mathrm{sd}(y_j) \text{ or } \ell $$

    **Arguments:** `key`: a seed or a JAX key; `level`: relative to each channel's
    standard deviation, or in its unit with `absolute`; >= 0.
    **Returns:** a new container; `origin["history"]` says what was added.
    **Raises:** `ConfigError` for a negative level.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Trajectories, add_noise
    >>> t = np.linspace(0, 10, 1000)
    >>> noisy = add_noise(Trajectories.from_arrays(t, np.sin(t)), 0, 0.1, absolute=True)
    >>> round(float((noisy.ys[0, :, 0] - np.sin(t)).std()), 2)
    0.1

    ```
    """
    if not (np.isfinite(level) and level >= 0):
        raise ConfigError(f"the noise level is {level:g}; it must be 0 or above.")
    count = np.maximum(data.mask.sum(axis=(0, 1)), 1)
    mean = data.ys.sum(axis=(0, 1)) / count
    square = np.where(data.mask, (data.ys - mean) ** 2, 0.0)
    spread = np.sqrt(square.sum(axis=(0, 1)) / count)
    sigma = np.full(data.dim, level) if absolute else level * spread
    noise = generator(key).normal(size=data.ys.shape) * sigma
    unit = "absolute" if absolute else "of each channel's spread"
    return data.replace(f"noise {level:g} {unit}, seed {key}", ys=data.ys + noise)


def drop_samples(
    data: Trajectories, key: Any, fraction: float, *, keep_grid: bool = False
) -> Trajectories:
    """Lose a share of the samples at random, never the first and the last.

    Without inputs the samples are taken out, which leaves an uneven grid; with
    inputs, or `keep_grid`, they stay in the grid as missing (inputs are known at
    every sample, observations are not). **Raises:** `ConfigError` unless
    0 <= fraction < 1.
    """
    if not 0 <= fraction < 1:
        raise ConfigError(f"the share to drop is {fraction:g}; expected 0 to below 1.")
    rng = generator(key)
    keep = []
    for n in data.lengths:
        inner = rng.permutation(np.arange(1, n - 1))[round(fraction * n) :]
        keep.append(np.sort(np.concatenate([[0], inner, [n - 1]])))
    note = f"dropped {fraction:g} of the samples, seed {key}"
    if data.us is None and not keep_grid:
        return data.gather(keep, note)
    left = np.zeros(data.ts.shape, bool)
    for row, index in zip(left, keep, strict=True):
        row[index] = True
    mask = data.mask & left[:, :, None]
    return data.replace(note, mask=mask, ys=np.where(mask, data.ys, 0.0))


def resample(data: Trajectories, dt: float) -> Trajectories:
    """Onto the even grid `t0 + k dt` of each trajectory.

    Observations run along a cubic spline through the valid samples; where the
    nearest samples on both sides are farther apart than twice the larger of `dt`
    and the usual step, the value is missing rather than invented. Inputs follow
    their own path (`input_kind`).
    **Raises:** `ConfigError` for a step that is not positive, `DataError` when a
    record is shorter than the step.
    """
    from scipy.interpolate import CubicSpline

    if not (np.isfinite(dt) and dt > 0):
        raise ConfigError(f"the step {dt:g} must be positive.")
    paths = data.paths()
    ts, ys, us = [], [], []
    for i, n in enumerate(data.lengths):
        t = data.ts[i, :n]
        grid = t[0] + dt * np.arange(int(np.floor((t[-1] - t[0]) / dt + 1e-9)) + 1)
        if len(grid) < 2:
            raise DataError(
                f"trajectory {data.labels[i]} lasts {t[-1] - t[0]:g}, less than the "
                f"step {dt:g}. Choose a smaller step."
            )
        values = np.full((len(grid), data.dim), np.nan)
        for j in range(data.dim):
            there = np.flatnonzero(data.mask[i, :n, j])
            if len(there) < 2:
                continue
            known = t[there]
            right = np.clip(np.searchsorted(known, grid - 1e-9 * dt), 1, len(known) - 1)
            gap = known[right] - known[right - 1]
            near = gap <= 2 * max(dt, float(np.median(np.diff(t)))) * (1 + 1e-9)
            near |= known[right] - grid <= 1e-6 * dt  # a sample ends the gap
            near &= (grid >= known[0] - 1e-9 * dt) & (grid <= known[-1] + 1e-9 * dt)
            spline = CubicSpline(known, data.ys[i, there, j])
            values[near, j] = spline(grid[near])
        ts.append(grid)
        ys.append(values)
        if paths is not None:
            k = np.clip(
                np.searchsorted(t, grid + 1e-9 * dt, side="right") - 1, 0, n - 2
            )
            s = (grid - t[k])[:, None] ** np.arange(4)
            us.append(np.einsum("kp,kpc->kc", s, paths[i, k]))
    out = Trajectories.from_arrays(ts, ys, us if paths is not None else None)
    return data.replace(
        f"resampled every {dt:g}", ts=out.ts, ys=out.ys, mask=out.mask, us=out.us
    )


def check_uniform(data: Trajectories, tolerance: float = 0.2) -> float:
    """The sampling step, for models of fixed step.

    **Raises:** `DataError` when a step differs from the median by more than
    `tolerance` of it, naming trajectory and sample.
    """
    usual = float(np.median(np.concatenate(steps(data))))
    for i, step in enumerate(steps(data)):
        off = np.flatnonzero(np.abs(step - usual) > tolerance * usual)
        if len(off):
            raise DataError(
                f"trajectory {data.labels[i]}, sample {off[0] + 1}: the step is "
                f"{step[off[0]]:g} where {usual:g} is usual; a model of fixed step "
                f"needs steps equal within {100 * tolerance:g} %. Resample the data "
                "(pendula.data.resample), or use a continuous model."
            )
    return usual
