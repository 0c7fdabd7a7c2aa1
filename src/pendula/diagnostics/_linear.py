"""The linear baseline: a linear equation of motion, solved exactly."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from ..data import Trajectories
from ._baseline import AbstractBaseline, AbstractFittedBaseline, Outlook
from ._exponential import step_maps
from ._holdout import held_out_error, hold_out, usable
from ._scaled import Frame, Rates


STRETCHES = (2.0, 12.0)  # in time scales: a third of a period, and two periods
PER_SCALE = 10  # samples in a time scale that a fit needs
MAX_SAMPLES = 8000  # used in a fit, spread over the record
MAX_LENGTH = 400  # samples of a stretch
ITERATIONS = 20
RANK = 1e-10  # below this share of the largest, a direction of the state is unseen


@dataclasses.dataclass(frozen=True)
class Linear(AbstractBaseline):
    r"""A linear equation of first or second order, whichever forecasts better.

    $$ \dot y = A y + B u + c \qquad\text{or}\qquad
       \ddot y = K y + D \dot y + B u + c $$

    The coefficients minimise the error of exact solutions over short stretches of
    the data, each with its own start state (multiple shooting, the start states
    eliminated); the start is a regression on local derivatives. Missing samples and
    irregular grids are allowed; inputs run between samples as the data say.

    Order and length of the stretches (2 or 12 time scales) are those that forecast
    the last quarter of the training data best; the equation is then fitted to all.
    A forecast starts from the state that fits the last stretch of the history.

    **Raises:** `DataError` when no trajectory shows every channel five times.
    **Behaviour:** exact for linear systems without noise (error about 1e-8). Below a
    second for 5000 samples of one or two channels.
    **Source:** multiple shooting: Bock 1983; elimination of the start states:
    Kaufman 1975, BIT 15:49.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Trajectories
    >>> from pendula.diagnostics import Linear
    >>> t = np.linspace(0, 20, 200)
    >>> y = np.exp(-0.1 * t) * np.cos(2 * t)
    >>> fitted = Linear().fit(Trajectories.from_arrays(t, y))
    >>> ahead = np.array([21.0, 25.0])
    >>> guess = fitted.forecast(t, y, None, ahead)[:, 0]
    >>> bool(np.abs(guess - np.exp(-0.1 * ahead) * np.cos(2 * ahead)).max() < 1e-6)
    True

    ```
    """

    def fit(self, train: Trajectories) -> FittedLinear:
        """Fit order, stretches and coefficients."""
        train = usable(train)
        frame, rates = Frame.of(train)
        part, _, tasks = hold_out(train)
        candidates = []
        for order in (1, 2):
            theta = regression(rates, order)
            for k, stretch in enumerate(STRETCHES):
                theta = shoot(frame, part, order, stretch, theta)
                made = FittedLinear(frame, order, stretch, theta)
                error = held_out_error(made, frame.scales.scale, train, tasks)
                candidates.append((error, order, k, theta))
        _, order, k, theta = min(candidates, key=lambda c: c[0])
        if tasks:
            for stretch in STRETCHES[: k + 1]:
                theta = shoot(frame, train, order, stretch, theta)
        return FittedLinear(frame, order, STRETCHES[k], theta)


@dataclasses.dataclass(frozen=True, eq=False)
class FittedLinear(AbstractFittedBaseline):
    """See `Linear`. `theta` `"dim state+ctrl+1"`: coefficients of the highest
    derivative in scaled units; `order` 1 or 2; `stretch`: how long a history the
    start state is fitted to, in time scales."""

    frame: Frame
    order: int
    stretch: float
    theta: np.ndarray

    @property
    def text(self) -> str:
        """What was fitted."""
        kind = "first" if self.order == 1 else "second"
        return f"linear equation of {kind} order, {self.theta.size} coefficients"

    @property
    def size(self) -> tuple[int, int]:
        """Numbers of channels and inputs."""
        return self.frame.dim, self.frame.ctrl

    def _ahead(self, outlook: Outlook) -> np.ndarray:
        span = self.stretch * self.frame.scales.time
        past = int(np.sum(outlook.ts >= outlook.ts[-1] - span))
        needed = 2 * self.order + 1
        if outlook.us is None and self.frame.ctrl:
            past = needed
        past = min(max(past, needed), len(outlook.ts))
        before, path, path_ahead, ahead = self.frame.grid(outlook, past)
        abc = matrices(self.frame, self.order, self.theta)
        ys = self.frame.scales.down(outlook.ys[-past:])
        stretch = Stretches(
            before[None], ys[None], outlook.mask[None, -past:],
            None if path is None else path[None],
        )  # fmt: skip
        state = free_start(stretch, *step_maps(*abc, stretch.dts, stretch.path))
        z = state.z[0, -1]
        if not np.all(np.isfinite(z)):  # the equation explodes within the history
            z = self.frame.rough_start(outlook, self.order)
        out = np.empty((len(ahead), self.frame.dim))
        with np.errstate(over="ignore", invalid="ignore"):
            f, g = step_maps(*abc, ahead, path_ahead)
            for k in range(len(ahead)):
                z = f[k] @ z + g[k]
                out[k] = z[: self.frame.dim]
            return self.frame.guarded(out, outlook)


class Stretches(NamedTuple):
    """Stretches of scaled data: `dts` `"clip step"`, `ys` and `mask`
    `"clip time obs"`, `path` `"clip step 4 ctrl"` or None."""

    dts: np.ndarray
    ys: np.ndarray
    mask: np.ndarray
    path: np.ndarray | None


class Shot(NamedTuple):
    """Exact solutions from the best start states: `z` `"clip time state"`,
    `residual` `"clip time*obs"`, and `basis` `"clip time*obs state"`, orthonormal,
    what a change of the start state can explain."""

    z: np.ndarray
    residual: np.ndarray
    basis: np.ndarray


def matrices(
    frame: Frame, order: int, theta: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A `"state state"`, B `"state ctrl"`, c `"state"` of the scaled equation."""
    d, n = frame.dim, frame.dim * order
    full = np.zeros((n, n + frame.ctrl + 1))
    full[n - d :] = theta
    if order == 2:
        full[:d, d:n] = np.eye(d)
    return full[:, :n], full[:, n:-1], full[:, -1]


def regression(rates: Rates, order: int) -> np.ndarray:
    """Coefficients from local derivatives, each sample weighted by its accuracy."""
    parts = [rates.q, rates.u, np.ones((len(rates.q), 1))]
    if order == 2:
        parts.insert(1, rates.v)
    x, out = np.concatenate(parts, axis=1), []
    target, error = (rates.v, rates.se_v) if order == 1 else (rates.a, rates.se_a)
    for y, se in zip(target.T, error.T, strict=True):
        weight = 1 / (se + np.median(se) + (1e-12 * np.abs(y).max(initial=0.0) or 1.0))
        out.append(np.linalg.lstsq(x * weight[:, None], y * weight, 1e-8)[0])
    return np.array(out)


def cut(frame: Frame, train: Trajectories, order: int, stretch: float) -> Stretches:
    """Scaled stretches of the training data, thinned when it is finely sampled and
    has no inputs (nothing of their path may be lost)."""
    dt, tau = frame.usual, frame.scales.time
    every = 1 if train.us is not None else max(1, int(tau / PER_SCALE / dt))
    length = round(stretch * tau / (dt * every)) + 1
    length = max(min(length, MAX_LENGTH), 2 * order + 3)
    longest = int(train.lengths.max())
    every = max(1, min(every, (longest - 1) // (length - 1)))
    length = min(length, longest)
    span = (length - 1) * every
    samples = int(train.lengths.sum()) / every
    stride = max(1, int(span * max(1.0, samples / MAX_SAMPLES)))
    batch = train.clips(length, stride, every=every, dtype=np.float64)
    return Stretches(
        batch.dts / tau,
        np.where(batch.mask, frame.scales.down(batch.ys), 0.0),
        np.asarray(batch.mask),
        frame.path(batch.us),
    )


def free_start(data: Stretches, f: np.ndarray, g: np.ndarray) -> Shot:
    """Solutions with the steps z -> f z + g whose start states fit best, each clip
    by itself; directions of the state that a clip does not show stay at 0."""
    clips, steps, n = g.shape
    d = data.ys.shape[2]
    lift, shift = np.empty((clips, steps + 1, n, n)), np.empty((clips, steps + 1, n))
    lift[:, 0], shift[:, 0] = np.eye(n), 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(steps):
            lift[:, k + 1] = f[:, k] @ lift[:, k]
            shift[:, k + 1] = (f[:, k] @ shift[:, k, :, None])[..., 0] + g[:, k]
    mask = data.mask.reshape(clips, -1)
    seen = np.where(mask[..., None], lift[:, :, :d].reshape(clips, -1, n), 0.0)
    target = np.where(data.mask, data.ys - shift[:, :, :d], 0.0).reshape(clips, -1)
    if not (np.all(np.isfinite(seen)) and np.all(np.isfinite(target))):
        nothing = np.zeros((clips, mask.shape[1], n))
        return Shot(np.full_like(shift, np.nan), np.full_like(target, np.nan), nothing)
    u, s, vt = np.linalg.svd(seen, full_matrices=False)
    kept = s > RANK * s[:, :1]
    basis = u * kept[:, None]
    inner = np.einsum("crk,cr->ck", basis, target)
    start = np.einsum("ckn,ck->cn", vt, inner / np.where(kept, s, 1.0))
    z = (lift @ start[:, None, :, None])[..., 0] + shift
    return Shot(z, target - np.einsum("crk,ck->cr", basis, inner), basis)


def sensitivities(
    frame: Frame, order: int, data: Stretches, f: np.ndarray, z: np.ndarray
) -> np.ndarray:
    """How the observations move with the coefficients, `"clip time*obs param"`, the
    start states held: the linear equation's response, by the trapezoidal rule. (An
    approximate slope costs the iteration some speed and no accuracy.)"""
    clips, length, n = z.shape
    d = frame.dim
    ones = np.ones((clips, length, 1))
    u = np.zeros((clips, length, 0))
    if data.path is not None:
        h = data.dts[:, -1, None, None] ** np.arange(4)[None, :, None]
        end = (data.path[:, -1] * h).sum(axis=1)
        u = np.concatenate([data.path[:, :, 0], end[:, None]], axis=1)
    features = np.concatenate([z, u, ones], axis=2)
    m = features.shape[2]
    push = np.zeros((clips, length, n, d, m))
    for i in range(d):
        push[:, :, n - d + i, i] = features
    push = push.reshape(clips, length, n, d * m)
    half = 0.5 * data.dts[:, :, None, None]
    out = np.zeros((clips, length, n, d * m))
    for k in range(length - 1):
        moved = f[:, k] @ (out[:, k] + half[:, k] * push[:, k])
        out[:, k + 1] = moved + half[:, k] * push[:, k + 1]
    seen = out[:, :, :d].reshape(clips, length * d, d * m)
    return seen * data.mask.reshape(clips, -1, 1)


def shoot(
    frame: Frame, train: Trajectories, order: int, stretch: float, theta: np.ndarray
) -> np.ndarray:
    """Coefficients of least error over stretches, by damped Gauss-Newton from
    `theta`; the start states are projected out."""
    data = cut(frame, train, order, stretch)

    def solve(theta: np.ndarray) -> tuple[np.ndarray, Shot, float]:
        maps = step_maps(*matrices(frame, order, theta), data.dts, data.path)
        shot = free_start(data, *maps)
        with np.errstate(over="ignore", invalid="ignore"):
            cost = float(np.sum(shot.residual**2))
        return maps[0], shot, cost if np.isfinite(cost) else np.inf

    f, shot, cost = solve(theta)
    damping = 1e-3
    for _ in range(ITERATIONS):
        if not np.isfinite(cost) or cost == 0:
            break
        j = sensitivities(frame, order, data, f, shot.z)
        j -= shot.basis @ (np.swapaxes(shot.basis, 1, 2) @ j)
        j = j.reshape(-1, theta.size)
        normal, slope = j.T @ j, j.T @ shot.residual.reshape(-1)
        size = np.diag(normal) + 1e-12 * max(np.diag(normal).max(), 1e-300)
        step = np.linalg.solve(normal + damping * np.diag(size), slope)
        new = theta + step.reshape(theta.shape)
        f_new, shot_new, cost_new = solve(new)
        if cost_new < cost:
            gain = 1 - cost_new / cost
            theta, f, shot, cost = new, f_new, shot_new, cost_new
            damping = max(damping / 10, 1e-9)
            if gain < 1e-4:
                break
        else:
            damping *= 10
            if damping > 1e4:
                break
    return theta
