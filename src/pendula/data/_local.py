"""Local polynomials: the state, its rates and their errors at every sample."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .._errors import ConfigError, DataError, ShapeError
from ._noise import noise_estimate, series_noise
from ._trajectories import Trajectories


DEGREES = (3, 5)  # tried; the fit of two degrees more judges the bias
MAX_WINDOW = 401  # samples
MISFIT = 5.0  # times the noise's variance: the fit misses the samples
TRIALS = 100  # places at which a window is judged
CHUNK = 1_000_000  # numbers in one block of windows


class Window(NamedTuple):
    """How one derivative is estimated: samples, polynomial degree, and the bias
    (root mean square) that this was estimated to have."""

    size: int
    degree: int
    bias: float


@dataclasses.dataclass(frozen=True, eq=False)
class LocalState:
    """Smoothed value, first and second derivative, and their standard errors.

    **Shapes and units:** `q`, `v`, `a`, `se_q`, `se_v`, `se_a`: `"time"` for one
    series, `"traj time dim"` for a container (0 where padded); in the channel's
    unit, per time, per time squared. A standard error holds the noise's part and
    the estimated bias. `noise`: standard deviation of the noise, a number or
    `"dim"`. `windows`: for each channel those of q, v and a.
    """

    q: Float[np.ndarray, "*shape"]
    v: Float[np.ndarray, "*shape"]
    a: Float[np.ndarray, "*shape"]
    se_q: Float[np.ndarray, "*shape"]
    se_v: Float[np.ndarray, "*shape"]
    se_a: Float[np.ndarray, "*shape"]
    noise: Float[np.ndarray, "*dim"]
    windows: tuple[tuple[Window, Window, Window], ...]


def local_state(
    ts: np.ndarray,
    ys: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    noise: float | None = None,
    windows: tuple[Window, Window, Window] | None = None,
) -> LocalState:
    r"""State and rates of one series by local weighted polynomials.

    $$ \hat\beta(t) = \arg\min_\beta \sum_j K\!\left(\frac{t_j - t}{h}\right)
       \Big(y_j - \sum_{k \le p} \beta_k \frac{(t_j - t)^k}{k!}\Big)^2, \quad
       (q, v, a) = (\beta_0, \beta_1, \beta_2) $$

    with tricube weights over a fixed number of samples around each time.

    **Arguments:** `ts` `"time"`, increasing, even or not; `ys` and `mask` `"time"`
    (missing samples are skipped, but estimated too); `noise` standard deviation
    (default: estimated from differences); `windows` for q, v, a (default: those of
    least estimated squared bias plus variance, degree 3 or 5).
    **Returns:** `LocalState` of `"time"` arrays.
    **Raises:** `ShapeError`; `DataError` with fewer than three valid samples.
    **Behaviour:** within 20 % of the best window's error on sines with noise; at
    the ends the windows are one-sided and the errors several times larger, as the
    standard errors say.
    **Source:** Fan, Gijbels 1996, Local Polynomial Modelling, chapters 3 and 4.

    ```python
    >>> import numpy as np
    >>> from pendula.data import local_state
    >>> t = np.linspace(0, 10, 400)
    >>> y = np.sin(t) + 0.01 * np.random.default_rng(0).normal(size=t.size)
    >>> out = local_state(t, y)
    >>> bool(np.abs(out.v - np.cos(t))[40:-40].max() < 0.03)
    True

    ```
    """
    ts, ys = np.asarray(ts, np.float64), np.asarray(ys, np.float64)
    there = np.isfinite(ys) if mask is None else np.asarray(mask, bool)
    if ts.ndim != 1 or not ts.shape == ys.shape == there.shape:
        raise ShapeError(
            f"ts {ts.shape}, ys {ys.shape} and mask {there.shape} must be vectors of "
            "one length."
        )
    t, y = ts[there], ys[there]
    if len(t) < 3:
        raise DataError(
            f"{len(t)} valid samples; rates need at least three. Give a longer record."
        )
    sigma = series_noise(t, y) if noise is None else float(noise)
    if windows is None:
        windows = choose_windows(t, y, sigma)
    values, errors = np.zeros((3, len(ts))), np.zeros((3, len(ts)))
    for window in set(windows):
        got, wide = _fit(t, y, ts, window.size, window.degree, sigma, window.bias)
        for k in range(3):
            if windows[k] == window:
                values[k], errors[k] = got[:, k], wide[:, k]
    (q, v, a), (se_q, se_v, se_a) = values, errors
    return LocalState(q, v, a, se_q, se_v, se_a, np.asarray(sigma), (windows,))


def local_states(data: Trajectories) -> LocalState:
    """`local_state` of every channel of every trajectory, as `"traj time dim"`.

    The noise is that of the channel over all trajectories, and its windows are
    chosen on the trajectory with most samples and carried over by time.
    **Raises:** `DataError` when a channel of a trajectory has fewer than three
    valid samples.
    """
    noise = noise_estimate(data)
    out = np.zeros((6, *data.ys.shape))
    chosen = []
    for j in range(data.dim):
        counts = [int(data.mask[i, :, j].sum()) for i in range(data.num)]
        longest = int(np.argmax(counts))
        t, y = _valid(data, longest, j)
        windows = choose_windows(t, y, float(noise[j]))
        chosen.append(windows)
        step = np.median(np.diff(t)) if len(t) > 1 else 1.0
        for i, n in enumerate(data.lengths):
            if counts[i] < 3:
                raise DataError(
                    f'trajectory {data.labels[i]}, channel "{data.names[j]}": '
                    f"{counts[i]} valid samples; rates need at least three. Leave the "
                    "trajectory out."
                )
            ratio = step / np.median(np.diff(_valid(data, i, j)[0]))
            fitted = (_rescaled(w, ratio, counts[i]) for w in windows)
            one = local_state(
                data.ts[i, :n],
                data.ys[i, :n, j],
                data.mask[i, :n, j],
                noise=float(noise[j]),
                windows=tuple(fitted),  # type: ignore[arg-type]  # three of them
            )
            parts = (one.q, one.v, one.a, one.se_q, one.se_v, one.se_a)
            out[:, i, :n, j] = np.stack(parts)
    q, v, a, se_q, se_v, se_a = (out[k] for k in range(6))
    return LocalState(q, v, a, se_q, se_v, se_a, noise, tuple(chosen))


def _valid(data: Trajectories, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
    there = np.flatnonzero(data.mask[i, :, j])
    return data.ts[i, there], data.ys[i, there, j]


def _rescaled(window: Window, ratio: float, count: int) -> Window:
    """The same stretch of time at another sampling rate."""
    size = max(round(window.size * ratio), window.degree + 2)
    size = min(size, MAX_WINDOW, count)
    return Window(size, min(window.degree, size - 1), window.bias)


def _rows(
    ts: np.ndarray, at: np.ndarray, window: int, degree: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights `"place 3 window"` that turn samples into value and two derivatives
    at times `at`, the indices `"place window"` of those samples, and the half
    widths `"place"`.

    The window has a fixed number of samples, so that it widens where they are
    sparse, and becomes one-sided at the ends.
    """
    n = len(ts)
    centre = np.clip(np.searchsorted(ts, at), 1, n - 1)
    centre -= np.abs(ts[centre - 1] - at) < np.abs(ts[centre] - at)
    start = np.clip(centre - window // 2, 0, n - window)
    index = start[:, None] + np.arange(window)
    shift = ts[index] - at[:, None]
    # a little more than the farthest sample, which keeps some weight that way
    width = np.abs(shift).max(axis=1) * (1 + 1 / window)
    x = shift / width[:, None]
    weight = (1 - np.abs(x) ** 3) ** 3
    basis = x[:, :, None] ** np.arange(degree + 1)
    weighted = np.swapaxes(basis * weight[:, :, None], 1, 2)
    normal = weighted @ basis
    # beside a gap nearly all samples of a window may crowd at its edge: of the
    # order of the rounding error, so that the matrix is not singular there
    size = np.trace(normal, axis1=1, axis2=2) * np.finfo(np.float64).eps
    normal += size[:, None, None] * np.eye(degree + 1)
    solved = np.linalg.solve(normal, weighted)
    rows = np.zeros((len(at), 3, window))
    rows[:, : degree + 1] = solved[:, :3]
    scale = np.array([1.0, 1.0, 2.0]) / width[:, None] ** np.arange(3)
    return rows * scale[:, :, None], index, width


def _fit(
    ts: np.ndarray,
    ys: np.ndarray,
    at: np.ndarray,
    window: int,
    degree: int,
    noise: float,
    bias: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Value and two derivatives `"place 3"` with standard errors; the bias grows
    with the window's width as the degree says."""
    if not 0 <= degree < window <= len(ts):
        raise ConfigError(
            f"a window of {window} samples cannot carry degree {degree} in a series "
            f"of {len(ts)} valid samples. Choose degree < window <= samples."
        )
    values, errors = np.zeros((len(at), 3)), np.zeros((len(at), 3))
    usual = np.median(ts[window - 1 :] - ts[: len(ts) - window + 1]) / 2
    left, right = 0, len(at)
    step = np.diff(ts)
    if len(at) == len(ts) and np.ptp(step) <= 1e-6 * step[0] and np.all(at == ts):
        # an even grid: all windows but those at the ends have the same weights
        left, right = window // 2, window // 2 - window + 1 + len(ts)
        rows, _, _ = _rows(ts, at[left : left + 1], window, degree)
        around = np.lib.stride_tricks.sliding_window_view(ys, window)
        values[left:right] = around @ rows[0].T
        errors[left:right] = np.sqrt(np.sum(rows[0] ** 2, axis=1) * noise**2 + bias**2)
        places = np.concatenate([np.arange(left), np.arange(right, len(ts))])
    else:
        places = np.arange(len(at))
    block = max(1, CHUNK // (window * (degree + 1)))
    for first in range(0, len(places), block):
        part = places[first : first + block]
        rows, index, width = _rows(ts, at[part], window, degree)
        values[part] = np.einsum("pkw,pw->pk", rows, ys[index])
        # up to ten times: inside a long gap nothing is known anyway
        grow = np.clip(width / usual, 1, 10)[:, None] ** (degree + 1 - np.arange(3))
        spread = np.sum(rows**2, axis=2) * noise**2
        errors[part] = np.sqrt(spread + (bias * grow) ** 2)
    errors[:, degree + 1 :] = np.inf  # a straight line knows no acceleration
    return values, errors


def _sizes(n: int, degree: int) -> list[int]:
    """Odd windows to try, growing by a quarter."""
    out, size = [], (degree + 4) | 1
    while size <= min(n, MAX_WINDOW):
        out.append(size)
        size = max(int(size * 1.25) | 1, size + 2)
    return out


def choose_windows(
    ts: np.ndarray, ys: np.ndarray, noise: float
) -> tuple[Window, Window, Window]:
    """For value, first and second derivative of a series without gaps the window
    of least estimated squared bias plus variance.

    The bias is the difference to the fit of a degree two higher, less the noise's
    part in that difference. The search in a degree ends where the bias clearly
    exceeds the noise, or the fit clearly misses the samples: beyond, both fits are
    wrong alike. Too few samples for a choice: a cubic, or what fits, through five.
    """
    n = len(ts)
    small = Window(min(n, 5), min(3, max(n - 2, 1)), 0.0)
    best = [(np.inf, small)] * 3
    floor = np.inf
    if not np.isfinite(noise):
        return small, small, small
    at = ts[np.linspace(0.1 * (n - 1), 0.9 * (n - 1), min(n, TRIALS)).astype(int)]
    for degree in DEGREES:
        live, least = [True] * 3, [np.inf] * 3
        for size in _sizes(n, degree):
            excess, variance, doubt, misfit = _judge(ts, ys, noise, at, size, degree)
            floor = min(floor, misfit)
            if misfit > MISFIT * max(floor, noise**2):
                break
            error = np.maximum(excess, 0) + variance
            for k in range(3):
                if not live[k]:
                    continue
                least[k] = min(least[k], error[k])
                if error[k] < best[k][0]:
                    bias = float(np.sqrt(max(excess[k], 0)))
                    best[k] = (float(error[k]), Window(size, degree, bias))
                clear = excess[k] > max(2 * variance[k], 3 * doubt[k])
                live[k] = not (clear and error[k] > 1.5 * least[k])
            if not any(live):
                break
    return best[0][1], best[1][1], best[2][1]


def _judge(
    ts: np.ndarray,
    ys: np.ndarray,
    noise: float,
    at: np.ndarray,
    size: int,
    degree: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Squared bias, variance, and the doubt in the former, of q, v and a; and the
    noise's variance that the distance of the samples from the fit would mean."""
    low, index, _ = _rows(ts, at, size, degree)
    high, _, _ = _rows(ts, at, size, degree + 2)
    apart = np.einsum("pkw,pw->pk", high - low, ys[index])
    expected = np.sum((high - low) ** 2, axis=2) * noise**2
    spread = np.sum(low**2, axis=2) * noise**2
    # weights of the inverse variance: where samples crowd, errors are huge
    share = 1 / np.maximum(np.sum((high - low) ** 2, axis=2), 1e-300)
    share /= share.sum(axis=0)
    excess = np.sum(share * (apart**2 - expected), axis=0)
    independent = max(1.0, min(len(at), 0.8 * len(ts) / size))
    doubt = np.sum(share * expected, axis=0) * np.sqrt(2 / independent)
    own = low[np.arange(len(at)), 0, np.argmin(np.abs(ts[index] - at[:, None]), axis=1)]
    value = np.einsum("pw,pw->p", low[:, 0], ys[index])
    usual = 1 - 2 * own + np.sum(low[:, 0] ** 2, axis=1)
    miss = (ys[np.searchsorted(ts, at)] - value) ** 2 / np.maximum(usual, 1e-3)
    misfit = float(np.mean(miss[miss <= np.quantile(miss, 0.95)]))
    return excess, np.sum(share * spread, axis=0), doubt, misfit
