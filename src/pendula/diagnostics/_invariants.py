"""Quantities that should stay: how far they drift, and whether the step is why."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from .._errors import ConfigError, DataError
from ._finding import Finding
from ._shapes import aligned
from ._words import number, percent


@dataclasses.dataclass(frozen=True)
class Drift:
    """Drift of an invariant relative to its scale.

    `largest`: largest distance from the first value; `rate`: slope of the straight
    line through the values [1/time], the secular part without what swings back;
    `numerical`: share of `largest` that goes away with half the step, None when no
    refined values were given. All unit-free but `rate`.
    """

    largest: float
    rate: float
    scale: float
    numerical: float | None

    def finding(self, id: str, name: str, limit: float) -> Finding:
        """As a `Finding`: bad when `largest` exceeds `limit`.

        When at least half of it goes away with half the step the reason names the
        step, otherwise the model.
        """
        reasons = []
        if self.numerical is not None and self.largest > limit:
            cause = (
                "the solver's step: shorten it"
                if self.numerical >= 0.5
                else "the model, not the solver's step"
            )
            reasons.append(
                f"{percent(self.numerical)} of the drift goes away with half the step; "
                f"its cause is {cause}."
            )
        return Finding(
            id,
            f"Largest drift of {name} relative to {number(self.scale)}",
            self.largest,
            comparison=f"limit {number(limit)}",
            verdict="bad" if not self.largest <= limit else "good",
            reasons=tuple(reasons),
        )


def drift(
    values: ArrayLike,
    ts: ArrayLike,
    *,
    scale: float | None = None,
    refined: ArrayLike | None = None,
) -> Drift:
    r"""How far an invariant I moves along a rollout.

    $$ d = \max_t |I(t) - I(t_0)| / S, \qquad
       \text{numerical share} = \max_t |I_h(t) - I_{h/2}(t)| / (d\,S) $$

    **Arguments:** `values` `"time"` along the rollout; `ts` `"time"`; `scale`: S,
    what counts as large (for an energy: its range over the data); default the first
    value's size; `refined`: the values with half the solver's step `"time"`.
    **Raises:** `ShapeError`; `ConfigError` for a scale that is not positive, or
    none given while the first value is 0; `DataError` for values that are not
    finite.

    ```python
    >>> import numpy as np
    >>> from pendula.diagnostics import drift
    >>> t = np.linspace(0, 10, 101)
    >>> d = drift(2 + 0.01 * t, t, refined=2 + 0.0025 * t)
    >>> round(d.largest, 3), round(d.rate, 4), round(d.numerical, 2)
    (0.05, 0.005, 0.75)

    ```
    """
    other = values if refined is None else refined
    values, ts, other = aligned(
        ("values", values, "time"), ("ts", ts, "time"), ("refined", other, "time")
    )
    lost = ~np.isfinite(values) | ~np.isfinite(other)
    if lost.any():
        first = number(float(ts[lost][0]))
        raise DataError(
            f"the invariant is not finite at time {first}. Cut the rollout where it "
            "failed."
        )
    size = abs(float(values[0])) if scale is None else float(scale)
    if not 0 < size < np.inf:
        raise ConfigError(
            f"the scale of the drift is {size:g}; it must be positive. Give scale, the "
            "range of the invariant over the data."
        )
    largest = float(np.max(np.abs(values - values[0]))) / size
    shift = ts - ts.mean()
    rate = float(shift @ (values - values.mean()) / max(float(shift @ shift), 1e-300))
    share = None
    if refined is not None:
        apart = float(np.max(np.abs(values - other))) / size
        share = apart / largest if largest > 0 else 0.0
    return Drift(largest, rate / size, size, share)
