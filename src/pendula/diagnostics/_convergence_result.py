"""What a convergence test found, as numbers, words and a figure."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from .._errors import Status
from ._convergence_rates import Order
from ._finding import Finding


if TYPE_CHECKING:
    from matplotlib.axes import Axes

GOOD = ("continuous", "consistent_flow")
UNJUDGED = ("inconclusive", "poor")


@dataclasses.dataclass(frozen=True)
class Convergence:
    """A field swept over schemes and steps: verdict, reasons, and every number.

    **Shapes and units:** `hs` `"step"` [time], large first; of each scheme at each
    step, `"scheme step"`, over S where nothing else is said: `mean` the error at the
    samples, `end` the distance at t1 [state; over the sizes, where `scale` was given],
    `own` the distance to the field's own motion, `true_mean`, `true_end` the same
    errors of the true field; None where there is no truth. `scale` is S. `order` and
    `truth_order`: the slopes of `own` and `end` by scheme (`truth_order` over
    h >= h_train). `e_train`, `e_0`, `gap` are E_train, E_0 and C, `end_0` the distance
    of the field's own motion to the truth at t1 [as `end`]; `predicted` is what the
    scheme's own error accounts for in E_0; `between` is E_0 midway between the samples
    (NaN without a true field, with inputs, and where E_0 is above the tolerance);
    `own_mean` `"step"`: E_0 at those samples alone that a step meets.
    `t_fail` is when the field's own motion failed (infinite: never). `warning` is
    "mild_dip" for a `continuous` field whose error at the trained step is at least
    five times smaller than that of its own motion: it was tuned to that step, below
    the tolerance.
    """

    schemes: tuple[str, ...]
    orders_of: dict[str, int]
    scheme_train: str
    dt_train: float
    substeps: int
    t0: float
    t1: float
    tolerance: float
    scale: float
    hs: np.ndarray
    mean: np.ndarray | None
    end: np.ndarray | None
    own: np.ndarray
    true_mean: np.ndarray | None
    true_end: np.ndarray | None
    e_train: float
    e_0: float
    gap: float
    order: dict[str, Order]
    truth_order: dict[str, Order]
    status: Status
    t_fail: float
    left: float
    notes: tuple[str, ...]
    verdict: str = ""
    warning: str | None = None
    reasons: tuple[str, ...] = ()
    predicted: float | None = None
    end_0: float = np.nan
    between: float = np.nan
    own_mean: np.ndarray | None = None

    @property
    def h_train(self) -> float:
        """The step of the training: `dt_train` over `substeps`."""
        return self.dt_train / self.substeps

    @property
    def dip(self) -> float:
        """D = log10(E_0 / E_train); NaN without truth."""
        if not (np.isfinite(self.e_0) and self.e_train >= 0):
            return np.nan
        return float(np.log10(max(self.e_0, 1e-300) / max(self.e_train, 1e-300)))

    @property
    def agreement(self) -> dict[str, float]:
        """A: how near each scheme comes to the field's own motion at the smallest
        step."""
        return {
            s: float(row[-1]) for s, row in zip(self.schemes, self.own, strict=True)
        }

    @property
    def is_continuous(self) -> bool | None:
        """True for `continuous` and `consistent_flow`; None where nothing can be said
        (`poor`, `inconclusive`)."""
        return None if self.verdict in UNJUDGED else self.verdict in GOOD

    def row(self, scheme: str, which: str = "mean") -> np.ndarray:
        """One scheme's line of `mean`, `end`, `own`, `true_mean` or `true_end`."""
        values = getattr(self, which)
        if values is None:
            return np.full(len(self.hs), np.nan)
        return values[self.schemes.index(scheme)]

    @property
    def text(self) -> str:
        """Verdict and reasons in words."""
        return " ".join([f"Continuity: {self.verdict}.", *self.reasons])

    def findings(self) -> list[Finding]:
        """The numbers of the verdict as findings of a report."""
        good = self.is_continuous
        judged = "note" if good is None else "good" if good else "bad"
        found = [
            Finding(
                "continuity.gap",
                f"Solver gap: distance between rollouts in {self.scheme_train} at the "
                "trained step and the field's own motion, over the signal",
                self.gap,
                verdict=judged if self.mean is None else "note",
                reasons=self.reasons if self.mean is None else (),
            )
        ]
        if self.mean is not None:
            found += [
                Finding(
                    "continuity.e_train",
                    f"Error in {self.scheme_train} at the trained step over the signal",
                    self.e_train,
                ),
                Finding(
                    "continuity.e_0",
                    "Error of the field's own motion, over the signal",
                    self.e_0,
                    comparison=None
                    if self.predicted is None or not np.isfinite(self.predicted)
                    else "the error of the scheme accounts for "
                    f"{float(f'{self.predicted:.3g}'):g}",
                    verdict=judged,
                    reasons=self.reasons,
                ),
            ]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the sweep is in `arrays`."""
        number = lambda x: float(x) if x is not None and np.isfinite(x) else None
        slope = lambda o: {
            "value": number(o.value),
            "low": number(o.low),
            "high": number(o.high),
            "points": o.points,
            "note": o.note,
        }
        return {
            "verdict": self.verdict,
            "warning": self.warning,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "scheme_train": self.scheme_train,
            "schemes": list(self.schemes),
            "dt_train": self.dt_train,
            "substeps": self.substeps,
            "t0": self.t0,
            "t1": self.t1,
            "tolerance": self.tolerance,
            "scale": number(self.scale),
            "e_train": number(self.e_train),
            "e_0": number(self.e_0),
            "end_0": number(self.end_0),
            "between": number(self.between),
            "dip": number(self.dip),
            "gap": number(self.gap),
            "predicted": number(self.predicted),
            "agreement": {s: number(a) for s, a in self.agreement.items()},
            "order": {s: slope(o) for s, o in self.order.items()},
            "truth_order": {s: slope(o) for s, o in self.truth_order.items()},
            "orders_of": self.orders_of,
            "status": self.status.name,
            "t_fail": number(self.t_fail),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """The sweep by name, for a figure."""
        names = ("hs", "mean", "end", "own", "true_mean", "true_end")
        values = {name: getattr(self, name) for name in names}
        return {name: v for name, v in values.items() if v is not None}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Errors over h, both logarithmic: a line a scheme, dashed for the true field,
        thin for the slopes of the orders, upright at the trained step."""
        from ._convergence_plot import plot_sweep

        return plot_sweep(self.to_dict(), self.arrays(), ax)
