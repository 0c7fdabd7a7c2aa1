"""Predictive intervals: split-conformal scores of validation clips by horizon."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from .._errors import ConfigError, DataError
from .._source import Source
from ._bins import place, upper_edges
from ._shapes import aligned


@dataclasses.dataclass(frozen=True, eq=False)
class Conformal:
    r"""Bands of a stated level around an ensemble's mean, calibrated on clips that
    the training did not see.

    $$ \text{band}(h) = \bar y(h) \pm q_h \sqrt{\sigma^2_{ens}(h) +
       \sigma^2_{res}(h)}, \qquad
       s_{k,t} = |\epsilon_{k,t}| \,/ \sqrt{\sigma^2_{ens} + \sigma^2_{res}} $$

    with $\sigma_{res}$ the root mean square error of the validation clips at that
    horizon (straight between the bins' centres) and $q_h$ a quantile of the scores
    in the horizon's bin.

    **The quantile.** Samples of one clip go up and down together: K clips are K
    pieces of evidence, however many samples they have. So each clip's scores share
    the weight 1/(K+1), and 1/(K+1) is kept for the clip to come, whose score may be
    anything; q is the smallest score with weight >= level at or below it. When the
    clips are exchangeable with the one to come, a sample of it lies in the band with
    at least that probability. Below level / (1 - level) clips (9 for 90 %) no finite
    q promises that: q is then the largest score, at least Student's quantile with K
    degrees of freedom, and `guaranteed` is False for that bin.

    **Shapes and units:** `until` `"bin"` last horizon of each bin, `horizon`
    `"bin"` its mean [time]; `q` `"bin obs"`; `sd` `"bin obs"` $\sigma_{res}$ in the
    channel's unit; `guaranteed` `"bin obs"`; `clips` K.
    **Behaviour:** beyond `trusted_to`, the longest validation horizon, q and
    $\sigma_{res}$ keep their last values and only the ensemble lets the band grow.
    **Source:** split conformal prediction, Vovk, Gammerman, Shafer 2005; clips as
    groups: Lee, Barber, Willett 2023, arXiv:2306.06342, section 3.

    ```python
    >>> import numpy as np
    >>> from pendula.diagnostics import Conformal
    >>> rng = np.random.default_rng(0)
    >>> h = np.linspace(0.1, 1, 10)
    >>> error = rng.normal(size=(40, 10, 1)) * h[:, None]
    >>> c = Conformal.calibrate(h, error, np.zeros_like(error), bins=2)
    >>> low, high = c.band(h, np.zeros((10, 1)), np.zeros((10, 1)))
    >>> print(c.trusted_to, c.guaranteed.all(), (high - low)[[0, -1], 0].round(1))
    1.0 True [0.8 3. ]

    ```
    """

    source: ClassVar[Source] = Source("Lee2023", "section 3")

    until: np.ndarray
    horizon: np.ndarray
    q: np.ndarray
    sd: np.ndarray
    guaranteed: np.ndarray
    level: float
    clips: int

    @property
    def trusted_to(self) -> float:
        """The longest horizon of the validation clips [time]."""
        return float(self.until[-1])

    @classmethod
    def calibrate(
        cls,
        horizons: ArrayLike,
        error: ArrayLike,
        var_ens: ArrayLike,
        *,
        level: float = 0.9,
        bins: int | ArrayLike = 8,
    ) -> Conformal:
        """From the validation clips' forecasts.

        **Arguments:** `horizons`: time since the clip's start, `"time"` or
        `"clip time"` (NaN: no sample); `error`: mean minus truth `"clip time obs"`,
        NaN where nothing was measured, infinite where the forecast diverged; `var_ens`:
        variance over the ensemble's members, of the same shape; `level`: 0 < level
        < 1; `bins`: as in `error_growth`.
        **Raises:** `ShapeError`; `ConfigError` for a level outside (0, 1);
        `DataError` when a channel has no finite error.
        """
        if not 0 < level < 1:
            raise ConfigError(f"level is {level}; it must lie between 0 and 1.")
        error, var_ens, horizons = _clips(horizons, error, var_ens)
        edges = upper_edges(horizons, bins)
        where, finite = place(horizons, edges), np.isfinite(error)
        empty = np.flatnonzero(~finite.any(axis=(0, 1)))
        if len(empty):
            raise DataError(
                f"channel {empty[0]} has no finite validation error: an interval "
                "cannot be calibrated. Hold out more data."
            )
        shape = (len(edges), error.shape[2])
        here = [(where == b) & np.isfinite(horizons) for b in range(len(edges))]
        centre = _centres(horizons, here, edges)
        sd = np.full(shape, np.nan)
        for b in range(len(edges)):
            inside = finite & (where == b)[:, :, None]
            square = np.where(inside, error, 0.0) ** 2
            count = inside.sum(axis=(0, 1))
            with np.errstate(invalid="ignore"):
                sd[b] = np.sqrt(square.sum(axis=(0, 1)) / count)
        sd = _filled(sd)
        made = cls(
            edges,
            centre,
            np.ones(shape),
            sd,
            np.ones(shape, bool),
            float(level),
            len(error),
        )
        score = _scores(error, np.sqrt(var_ens + made.variance(horizons)))
        q, sure = np.full(shape, np.nan), np.ones(shape, bool)
        for b in range(shape[0]):
            for j in range(shape[1]):
                parts = [s[w == b] for s, w in zip(score[:, :, j], where, strict=True)]
                q[b, j], sure[b, j] = _quantile(parts, level)
        return dataclasses.replace(made, q=_filled(q), guaranteed=sure)

    def variance(self, horizons: ArrayLike) -> np.ndarray:
        """Residual variance at horizons of any shape, `"... obs"`."""
        h = np.asarray(horizons, np.float64)
        columns = [np.interp(h, self.horizon, column) for column in self.sd.T]
        return np.stack(columns, axis=-1) ** 2

    def band(
        self, horizons: ArrayLike, mean: ArrayLike, var_ens: ArrayLike
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper end `"time obs"` at horizons `"time"`, around `mean`.

        **Raises:** `ShapeError`.
        """
        h, mean, var = aligned(
            ("horizons", horizons, "time"),
            ("mean", mean, "time obs"),
            ("var_ens", var_ens, "time obs"),
        )
        half = self.q[place(h, self.until)] * np.sqrt(var + self.variance(h))
        return mean - half, mean + half

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` is the inverse."""
        out: dict[str, Any] = {"level": self.level, "clips": self.clips}
        for name in ("until", "horizon", "q", "sd", "guaranteed"):
            out[name] = getattr(self, name).tolist()
        # JSON has no infinity: a q that no number of clips supports is null
        out["q"] = [[x if np.isfinite(x) else None for x in row] for row in out["q"]]
        return out

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Conformal:
        """From what `to_dict` gave. **Raises:** `ConfigError` for missing keys."""
        fields = ("until", "horizon", "q", "sd", "guaranteed", "level", "clips")
        missing = [name for name in fields if name not in values]
        if missing:
            raise ConfigError(
                f"this is no calibrated interval: {', '.join(missing)} missing."
            )
        q = [[np.inf if x is None else x for x in row] for row in values["q"]]
        return cls(
            np.array(values["until"], np.float64),
            np.array(values["horizon"], np.float64),
            np.array(q, np.float64),
            np.array(values["sd"], np.float64),
            np.array(values["guaranteed"], bool),
            float(values["level"]),
            int(values["clips"]),
        )


def _clips(
    horizons: ArrayLike, error: ArrayLike, var_ens: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Error, variance and horizons of every clip, checked."""
    error, var_ens = aligned(
        ("error", error, "clip time obs"), ("var_ens", var_ens, "clip time obs")
    )
    horizons = np.asarray(horizons, np.float64)
    if horizons.ndim == 1:
        horizons = np.broadcast_to(horizons, (len(error), len(horizons)))
    _, horizons = aligned(
        ("error", error, "clip time obs"), ("horizons", horizons, "clip time")
    )
    # a sample of no horizon is in no bin
    error = np.where(np.isfinite(horizons)[:, :, None], error, np.nan)
    return error, var_ens, horizons


def _centres(
    horizons: np.ndarray, here: list[np.ndarray], edges: np.ndarray
) -> np.ndarray:
    """The mean horizon of each bin's samples; its edge without any."""
    pairs = zip(here, edges, strict=True)
    return np.array([horizons[a].mean() if a.any() else e for a, e in pairs])


def _filled(values: np.ndarray) -> np.ndarray:
    """Bins without a sample take over from the nearest one that has some."""
    out = values.copy()
    for j in range(values.shape[1]):
        have = np.flatnonzero(~np.isnan(values[:, j]))
        for b in np.flatnonzero(np.isnan(values[:, j])):
            out[b, j] = values[have[np.argmin(np.abs(have - b))], j]
    return out


def _scores(error: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """|error| / sd; 0 where both are 0 (an exact forecast of exact data), infinite
    where the forecast diverged, whatever its members' variance is then."""
    size, zero = np.abs(error), sd == 0
    gone = np.isinf(size) | (zero & (size > 0))
    return np.where(gone, np.inf, size / np.where(zero | gone, 1.0, sd))


def _quantile(parts: list[np.ndarray], level: float) -> tuple[float, bool]:
    """The quantile described in `Conformal`, and whether it is guaranteed."""
    parts = [part[~np.isnan(part)] for part in parts]
    parts = [part for part in parts if len(part)]
    if not parts:
        return float("nan"), False
    clips = len(parts)
    scores = np.concatenate(parts)
    weight = np.concatenate([np.full(len(p), 1 / len(p)) for p in parts])
    order = np.argsort(scores)
    reached = np.cumsum(weight[order]) / (clips + 1)
    index = int(np.searchsorted(reached, level - 1e-12))
    if index < len(scores):
        return float(scores[order[index]]), True
    from scipy.stats import t as student  # half a second: only when it is needed

    return max(float(scores.max()), float(student.ppf(0.5 + level / 2, clips))), False


@dataclasses.dataclass(frozen=True)
class Coverage:
    """Share of measured values inside the band, by horizon.

    **Shapes and units:** all `"bin"`; `horizon` mean and `until` last horizon
    [time], `share` (NaN for an empty bin), `count` of values.
    """

    horizon: np.ndarray
    until: np.ndarray
    share: np.ndarray
    count: np.ndarray


def coverage(
    truth: ArrayLike, low: ArrayLike, high: ArrayLike, mask: ArrayLike | None = None
) -> float:
    """Share of the measured values with low <= truth <= high; NaN without any.

    **Arguments:** arrays of one shape; `mask` (or NaN in `truth`) leaves out.
    **Raises:** `ShapeError`.

    ```python
    >>> from pendula.diagnostics import coverage
    >>> coverage([0.0, 1.0, 2.0, 9.0], [0, 0, 0, 0], [1, 1, 1, 1], [True] * 3 + [False])
    0.6666666666666666

    ```
    """
    truth = np.asarray(truth, np.float64)
    axes = " ".join(f"axis{i}" for i in range(truth.ndim))
    there = np.ones(truth.shape, bool) if mask is None else mask
    truth, low, high, there = aligned(
        ("truth", truth, axes), ("low", low, axes), ("high", high, axes),
        ("mask", there, axes),
    )  # fmt: skip
    there = there.astype(bool) & ~np.isnan(truth)
    inside = (low <= truth) & (truth <= high) & there
    return float(inside.sum() / there.sum()) if there.any() else float("nan")


def coverage_growth(
    horizons: ArrayLike, inside: ArrayLike, there: ArrayLike, bins: int | ArrayLike = 8
) -> Coverage:
    """Coverage by horizon bin.

    **Arguments:** `horizons` `"clip time"`; `inside`, `there` bool
    `"clip time obs"`: whether a value lies in its band, and whether it was measured;
    `bins` as in `error_growth`.
    **Raises:** `ShapeError`, `ConfigError`.
    """
    horizons, inside, there = aligned(
        ("horizons", horizons, "clip time"),
        ("inside", inside, "clip time obs"),
        ("there", there, "clip time obs"),
    )
    edges = upper_edges(horizons, bins)
    where = place(horizons, edges)
    inside, there = (inside > 0) & (there > 0), there > 0
    here = [(where == b) & (horizons <= edges[-1]) for b in range(len(edges))]
    count = np.array([there[at].sum() for at in here])
    hits = np.array([inside[at].sum() for at in here])
    share = np.where(count > 0, hits / np.maximum(count, 1), np.nan)
    return Coverage(_centres(horizons, here, edges), edges, share, count)


def held_out_coverage(
    horizons: ArrayLike,
    error: ArrayLike,
    var_ens: ArrayLike,
    *,
    level: float = 0.9,
    bins: int | ArrayLike = 8,
) -> Coverage | None:
    """Coverage that was not calibrated on itself: each clip is judged by the band
    that all other clips give. None with fewer than two clips.

    **Arguments:** as in `Conformal.calibrate`. **Raises:** the same.

    ```python
    >>> import numpy as np
    >>> from pendula.diagnostics import held_out_coverage
    >>> error = np.random.default_rng(0).normal(size=(60, 8, 1))
    >>> c = held_out_coverage(np.arange(8.0), error, 0 * error, bins=1)
    >>> print(c.count, c.share.round(2))
    [480] [0.91]

    ```
    """
    error, var_ens, horizons = _clips(horizons, error, var_ens)
    if len(error) < 2:
        return None
    edges = upper_edges(horizons, bins)
    inside = np.zeros(error.shape, bool)
    for k in range(len(error)):
        rest = np.arange(len(error)) != k
        made = Conformal.calibrate(
            horizons[rest], error[rest], var_ens[rest], level=level, bins=edges
        )
        low, high = made.band(horizons[k], np.zeros_like(error[k]), var_ens[k])
        inside[k] = (low <= error[k]) & (error[k] <= high)
    return coverage_growth(horizons, inside, ~np.isnan(error), edges)
