"""Which of several fits to trust, in words made from their numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._numbers import listing, percent, quantity


NARROW = 0.2  # half a band as a share of the signal's spread: the verdict's limit too


@dataclasses.dataclass(frozen=True)
class Choice:
    """The fit to trust (None: none of them), the sentence, and the reasons."""

    name: str | None
    text: str
    reasons: tuple[str, ...]


def narrow_to(
    ts: np.ndarray, low: np.ndarray, high: np.ndarray, spread: float
) -> float | None:
    """The last time up to which half the band's width stays below 20 % of `spread`;
    None when it never does. **Shapes:** `ts` `"time"`, `low`, `high` `"time obs"`.

    ```python
    >>> import numpy as np
    >>> from pendula.report import narrow_to
    >>> t = np.arange(5.0)
    >>> print(narrow_to(t, -0.1 * t[:, None], 0.1 * t[:, None], spread=1.0))
    1.0

    ```
    """
    half = 0.5 * np.max(high - low, axis=1)
    wide = np.flatnonzero(~(half < NARROW * spread))
    if not len(wide):
        return float(ts[-1])
    return float(ts[wide[0] - 1]) if wide[0] else None


def choose(fits: Sequence[dict[str, Any]], unit: str, time_unit: str) -> Choice:
    """The fit whose band stays narrow longest among those that passed their own
    validation; the truth is not asked.

    **Arguments:** `fits`: for each `name`, `label`, `trust` (of its verdict),
    `status`, `start`, `until`, `trusted_to` (start and the verdict's horizon),
    `narrow_to`, `outside` (share of states outside the training range), `rmse`,
    `coverage`.
    """
    able = [f for f in fits if f["trust"] and f["status"] == "ok" and f["narrow_to"]]
    best = max(able, key=lambda f: f["narrow_to"], default=None)
    reasons = [_why(f, best is f, time_unit) for f in fits]
    known = [f for f in fits if f.get("rmse") is not None]
    if known:
        errors = listing([f"{quantity(f['rmse'], unit)} {f['label']}" for f in known])
        inside = listing([f"{percent(f['coverage'])} {f['label']}" for f in known])
        reasons.append(
            f"The truth, looked at afterwards: error {errors}; inside the 90 % band "
            f"{inside}."
        )
    if best is None:
        text = f"Trust none of the fits ({listing([f['label'] for f in fits])}) here."
        return Choice(None, text, tuple(reasons))
    until = quantity(min(best["narrow_to"], best["trusted_to"]), time_unit)
    text = f"Trust the fit {best['label']}, up to {until}."
    for f in fits:
        if f is best:
            continue
        end = min(f["narrow_to"], f["trusted_to"]) if f in able else None
        text += (
            f" Do not trust the one {f['label']}"
            f"{f' beyond {quantity(end, time_unit)}' if end else ''}."
        )
    return Choice(best["name"], text, tuple(reasons))


def _why(fit: dict[str, Any], chosen: bool, time_unit: str) -> str:
    """What speaks for or against one fit, before the truth is looked at."""
    label = str(fit["label"])
    head = label[:1].upper() + label[1:]
    if fit["status"] != "ok":
        return f"{head}: the forecast ended with the status {fit['status']}."
    parts = []
    if not fit["trust"]:
        parts.append("it failed its own validation")
    end = fit["narrow_to"]
    share = percent(NARROW)
    if end is None:
        parts.append(f"its band is wider than {share} of the swing from the start")
    elif end >= fit["until"]:
        parts.append(
            f"its band stays narrower than {share} of the swing's spread to the end, "
            f"{quantity(end, time_unit)}"
        )
    else:
        parts.append(
            f"its band grows beyond {share} of the swing's spread after "
            f"{quantity(end, time_unit)}"
        )
    if fit["outside"] is not None:
        parts.append(
            f"{percent(fit['outside'])} of the states lie outside what its learned "
            "part saw in training"
        )
    return f"{head}: {'; '.join(parts)}."
