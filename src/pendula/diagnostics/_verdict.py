"""How far a forecast can be trusted, and which condition ends it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._errors import ConfigError, Status
from ._finding import Finding
from ._shapes import aligned
from ._words import number, percent


@dataclasses.dataclass(frozen=True)
class Limits:
    """The limits of `verdict`, unit-free."""

    spread: float = 0.2
    """Largest median error as a share of the signal's spread."""
    coverage: tuple[float, float] = (0.75, 0.99)
    """Smallest and largest share of samples in the 90 % band."""
    halving: float = 0.1
    """Largest change by half the step, as a share of the error."""
    outside: float = 0.05
    """Largest share of states outside the training range."""
    nothing: float = 1e-3
    """Error, as a share of the signal's spread, beside which no change by half the
    step is asked to be small."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether to trust a forecast, up to which horizon, and why not further.

    `trust_to` is None when `trust` is False; `reasons` are the conditions that
    failed, in the order of `verdict`; `text` says it all in sentences.
    """

    trust: bool
    trust_to: float | None
    unit: str
    reasons: tuple[str, ...]
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**dataclasses.asdict(self), "reasons": list(self.reasons)}


@dataclasses.dataclass(frozen=True)
class _Condition:
    """One condition at every horizon: does it hold, and how it is said."""

    id: str
    statement: str
    holds: np.ndarray
    values: np.ndarray
    comparison: str
    sentence: Callable[[int], str]
    unknown: str
    """What is said where there is no value."""

    def why(self, k: int, until: str) -> str:
        """Why it does not hold at horizon k."""
        if np.isnan(self.values[k]):
            return f"Up to {until} it is not known {self.unknown}."
        return self.sentence(k)


def _running(share: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Mean of `share` over all horizons up to each, weighted by `count`."""
    known = ~np.isnan(share) & (count > 0)
    total = np.cumsum(np.where(known, count, 0.0))
    sums = np.cumsum(np.where(known, share * count, 0.0))
    return np.where(total > 0, sums / np.where(total > 0, total, 1.0), np.nan)


def _against_baselines(
    h: np.ndarray,
    error: np.ndarray,
    rivals: np.ndarray,
    names: list[str],
    unit: str,
    time_unit: str,
) -> _Condition:
    """1: the median error is below that of the best baseline."""
    best, who = rivals.min(axis=0), rivals.argmin(axis=0)
    ratio = np.full_like(error, np.inf)
    np.divide(error, best, out=ratio, where=(best > 0) & np.isfinite(best))
    return _Condition(
        "verdict.baseline",
        "Median error over that of the best baseline",
        error < best,
        np.select(
            [np.isnan(error), np.isinf(best) & np.isfinite(error)], [np.nan, 0.0], ratio
        ),
        "expected below 1",
        lambda k: (
            f"From {number(h[k], time_unit)} on the median error, "
            f"{number(error[k], unit)}, is not below that of {names[who[k]]}, "
            f"{number(best[k], unit)}."
        ),
        "how large the median error is",
    )


def _against_spread(
    h: np.ndarray,
    error: np.ndarray,
    spread: float,
    unit: str,
    time_unit: str,
    limits: Limits,
) -> _Condition:
    """2: the median error is a small share of the signal's spread."""
    limit = limits.spread * spread
    return _Condition(
        "verdict.error",
        "Median error over the signal's spread",
        error < limit,
        error / spread if spread > 0 else np.full_like(error, np.inf),
        f"expected below {number(limits.spread)}",
        lambda k: (
            f"From {number(h[k], time_unit)} on the median error, "
            f"{number(error[k], unit)}, is not below {percent(limits.spread)} of the "
            f"spread, {number(limit, unit)}."
        ),
        "how large the median error is",
    )


def _in_band(
    h: np.ndarray,
    share: np.ndarray,
    count: np.ndarray | None,
    time_unit: str,
    limits: Limits,
) -> _Condition:
    """3: the band holds about as many samples as it says; of few of them a band that is
    right may hold all."""
    low, high = limits.coverage
    held = _running(share, np.ones_like(h) if count is None else count)
    few = np.zeros(len(h), bool)
    if count is not None:
        few = np.cumsum(count) * (1.0 - high) < 1.0
    return _Condition(
        "verdict.coverage",
        "Share of validation samples in the 90 % band",
        (held >= low) & ((held <= high) | few),
        held,
        f"expected {number(low)} to {number(high)}"
        + (", or all of few samples" if few.any() else ""),
        lambda k: (
            f"Up to {number(h[k], time_unit)} the 90 % band holds {percent(held[k])} "
            f"of the validation samples; expected {number(100 * low)} to "
            f"{percent(high)}."
        ),
        "how many samples the 90 % band holds: that takes forecasts from two held-out "
        "starts or more",
    )


def _against_step(
    h: np.ndarray,
    halving: ArrayLike,
    error: np.ndarray,
    spread: float,
    time_unit: str,
    limits: Limits,
) -> _Condition:
    """4: the solver's step does not show in the forecast."""
    _, moved = aligned(("horizons", h, "bin"), ("halving", halving, "bin"))
    known = np.isfinite(moved) & np.isfinite(error)
    change = np.multiply(moved, error, out=np.full_like(moved, np.inf), where=known)
    least = limits.halving * limits.nothing
    return _Condition(
        "verdict.halving",
        "Change of the forecast by half the step over its error",
        (moved < limits.halving) | (change < least * spread),
        moved,
        f"expected below {number(limits.halving)}, or a change below {number(least)} "
        "of the spread",
        lambda k: (
            f"From {number(h[k], time_unit)} on halving the step changes the forecast "
            f"by {number(moved[k])} of its error; expected below "
            f"{number(limits.halving)}."
        ),
        "what halving the step changes",
    )


def _within_range(
    h: np.ndarray, outside: ArrayLike, time_unit: str, limits: Limits
) -> _Condition:
    """5: the states stay where training went."""
    _, share = aligned(("horizons", h, "bin"), ("outside", outside, "bin"))
    share = _running(share, np.ones_like(h))
    return _Condition(
        "verdict.outside",
        "Share of states outside the training range",
        share < limits.outside,
        share,
        f"expected below {number(limits.outside)}",
        lambda k: (
            f"Up to {number(h[k], time_unit)} {percent(share[k])} of the states lie "
            f"outside the training range; expected below {percent(limits.outside)}."
        ),
        "how many of the states lie outside the training range",
    )


def verdict(
    horizons: ArrayLike,
    error: ArrayLike,
    baselines: Mapping[str, ArrayLike],
    *,
    spread: float,
    covered: ArrayLike | None,
    sampling: float,
    count: ArrayLike | None = None,
    halving: ArrayLike | None = None,
    outside: ArrayLike | None = None,
    statuses: ArrayLike | None = None,
    t_fail: ArrayLike | None = None,
    unit: str = "",
    time_unit: str = "s",
    limits: Limits = Limits(),
    notes: Sequence[str] = (),
) -> tuple[Verdict, list[Finding]]:
    r"""The longest horizon T to which the validation supports the forecast.

    T is the longest of `horizons` where

    1. the median validation error is below that of the best baseline,
    2. the median validation error is below 20 % of the signal's spread,
    3. the 90 % band holds 75 to 99 % of the validation samples up to T (or all, where
       these are fewer than 100),
    4. halving the step changes the forecast by less than a tenth of its error (or of
       a thousandth of the spread, where the error is smaller),
    5. less than 5 % of the states up to T lie outside the training range.

    2, 4 and 5 must hold at every shorter horizon too: an error that was too large
    once is not undone later. 1 and 3 are judged at T: the shortest horizons, where
    every method is as good as the noise, and a bin's chance do not end the trust.
    The forecast is not trusted when T is under one sampling interval or a member's
    status is worse than `left_training_range` (which condition 5 judges).

    **Arguments:** `horizons` `"bin"`: last horizon of each bin, increasing; `error`
    and each of `baselines` `"bin"`: median errors (infinite: diverged); `spread`:
    standard deviation of the signal in the same unit; `covered` `"bin"`: share of
    samples in the band, measured on clips that did not set it, `count` `"bin"` how
    many; `halving` `"bin"`: change over error; `outside` `"bin"`: share of states;
    each of these may be None, which the text then says; `statuses` `"member"` and
    `t_fail` `"member"` of the rollouts; `sampling`: the sampling interval; `notes`:
    sentences to add, such as confounded constants.
    **Returns:** the verdict and one Finding for each condition, its value that at
    T (at the first horizon when there is no T).
    **Raises:** `ShapeError`; `ConfigError` without baselines, or horizons that do not
    increase.
    **Source:** the conditions are this project's; docs/architecture.md.

    ```python
    >>> from pendula.diagnostics import verdict
    >>> v, _ = verdict([1, 2, 3], [0.1, 0.2, 0.6], {"persistence": [0.5, 0.6, 0.7]},
    ...                spread=2.0, covered=[0.9, 0.9, 0.9], sampling=0.1, unit="rad")
    >>> v.trust_to
    2.0
    >>> print(v.text)
    Trust to 2 s. Not checked: the solver's step, the training range. From 3 s on the
    median error, 0.6 rad, is not below 20 % of the spread, 0.4 rad.

    ```
    """
    if not baselines:
        raise ConfigError("a verdict needs at least one baseline, such as persistence.")
    h, error = aligned(("horizons", horizons, "bin"), ("error", error, "bin"))
    if not len(h) or not np.isfinite(h).all() or not np.all(np.diff(h) > 0):
        raise ConfigError(
            f"the horizons of a verdict must increase and be finite; found {h}."
        )
    named = [(f'baseline "{n}"', values, "bin") for n, values in baselines.items()]
    _, *rivals = aligned(("horizons", h, "bin"), *named)
    table = np.stack([np.where(np.isnan(r), np.inf, r) for r in rivals])
    conditions = [
        _against_baselines(h, error, table, list(baselines), unit, time_unit),
        _against_spread(h, error, float(spread), unit, time_unit, limits),
    ]
    unchecked = []
    if covered is None:
        unchecked.append("the band's coverage")
    else:
        _, share = aligned(("horizons", h, "bin"), ("covered", covered, "bin"))
        if count is not None:
            _, count = aligned(("horizons", h, "bin"), ("count", count, "bin"))
        conditions.append(_in_band(h, share, count, time_unit, limits))
    if halving is None:
        unchecked.append("the solver's step")
    else:
        conditions.append(
            _against_step(h, halving, error, float(spread), time_unit, limits)
        )
    if outside is None:
        unchecked.append("the training range")
    else:
        conditions.append(_within_range(h, outside, time_unit, limits))
    return _judge(
        h, conditions, _failed(statuses, t_fail, time_unit), sampling, time_unit,
        unchecked, notes,
    )  # fmt: skip


def _failed(
    statuses: ArrayLike | None, t_fail: ArrayLike | None, time_unit: str
) -> list[str]:
    """A sentence for each kind of failure among the members."""
    if statuses is None:
        return []
    status = np.atleast_1d(np.asarray(statuses, np.int64))
    times = np.full(len(status), np.inf) if t_fail is None else np.atleast_1d(t_fail)
    _, times = aligned(("statuses", status, "member"), ("t_fail", times, "member"))
    sentences = []
    for kind in sorted(set(status[status > Status.left_training_range].tolist())):
        found = status == kind
        first = float(times[found].min())
        when = f", first at {number(first, time_unit)}" if np.isfinite(first) else ""
        sentences.append(
            f"{int(found.sum())} of {len(status)} rollouts ended with "
            f"{Status(kind).name}{when}. {Status(kind).advice}"
        )
    return sentences


def _judge(
    h: np.ndarray,
    conditions: list[_Condition],
    failed: list[str],
    sampling: float,
    time_unit: str,
    unchecked: list[str],
    notes: Sequence[str],
) -> tuple[Verdict, list[Finding]]:
    """T, the reasons that end it, and the sentences."""
    here = np.ones(len(h), bool)
    for condition in conditions:
        if condition.id in ("verdict.baseline", "verdict.coverage"):
            here &= condition.holds
        else:
            here &= np.logical_and.accumulate(condition.holds)
    last = int(np.flatnonzero(here)[-1]) if here.any() else -1
    reach = float(h[last]) if last >= 0 else 0.0
    reasons, findings = [], []
    for condition in conditions:
        later = np.flatnonzero(~condition.holds[last + 1 :])
        why = []
        if len(later):
            k = last + 1 + int(later[0])
            why = [condition.why(k, number(h[k], time_unit))]
        reasons += why
        k = max(last, 0)
        findings.append(
            Finding(
                condition.id,
                f"{condition.statement} up to {number(float(h[k]), time_unit)}",
                float(condition.values[k]),
                comparison=condition.comparison,
                verdict="good" if condition.holds[k] else "bad",
                reasons=tuple(why),
            )
        )
    reasons += failed
    short = not reach >= sampling  # of an interval that is no number, too
    if short:
        reasons.append(
            f"The horizon, {number(reach, time_unit)}, is under one sampling interval, "
            f"{number(sampling, time_unit)}."
        )
    trust = not short and not failed
    if not trust:
        lines = ["Do not trust this forecast."]
    elif last == len(h) - 1:
        lines = [f"Trust to {number(reach, time_unit)}, the longest horizon tested."]
    else:
        lines = [f"Trust to {number(reach, time_unit)}."]
    if unchecked:
        lines.append(f"Not checked: {', '.join(unchecked)}.")
    findings.insert(
        0,
        Finding(
            "verdict.horizon",
            "Horizon to which the forecast is trusted",
            reach if trust else 0.0,
            time_unit,
            comparison=f"longest tested {number(float(h[-1]), time_unit)}",
            verdict="good" if trust else "bad",
            reasons=tuple(reasons),
        ),
    )
    text = " ".join([*lines, *reasons, *notes])
    return (
        Verdict(trust, reach if trust else None, time_unit, tuple(reasons), text),
        findings,
    )
