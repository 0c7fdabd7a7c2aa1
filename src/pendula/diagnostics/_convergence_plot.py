"""The sweep of a convergence test as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np


if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKS = "os^Dv<>"
GREY = "#767676"


def plot_sweep(
    told: Mapping[str, Any], arrays: Mapping[str, np.ndarray], ax: Axes | None = None
) -> Axes:
    """Draw `Convergence.to_dict()` and `Convergence.arrays()`.

    With truth the error, else the distance to the field's own motion; dashed the true
    field, dotted the slopes of the schemes' orders, upright the trained step.
    """
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(layout="constrained")
    hs = arrays["hs"]
    with_truth = "mean" in arrays
    values = arrays["mean" if with_truth else "own"]
    for k, name in enumerate(told["schemes"]):
        colour = COLOURS[k % len(COLOURS)]
        trained = name == told["scheme_train"]
        ax.loglog(
            hs,
            _drawn(values[k]),
            color=colour,
            marker=MARKS[k % len(MARKS)],
            markersize=4.0 if trained else 3.0,
            linewidth=2.0 if trained else 1.0,
            label=f"{name} (trained)" if trained else name,
            zorder=3 if trained else 2,
        )
        if "true_mean" in arrays:
            ax.loglog(
                hs, _drawn(arrays["true_mean"][k]), "--", color=colour, linewidth=0.8
            )
    h = told["dt_train"] / told["substeps"]
    ax.axvline(h, color=GREY, linewidth=1.0)
    if with_truth:
        ax.axhline(told["tolerance"], color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, 1e-15), min(high, 1e2))
    _slopes(ax, told, arrays, values)
    ax.set_xlabel("step h [unit of time]")
    what = "error" if with_truth else "distance to own motion"
    ax.set_ylabel(f"{what} / spread [1]")
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    return ax


def _drawn(row: np.ndarray) -> np.ndarray:
    """Values that a logarithmic axis can show; off the page what is infinite."""
    row = np.where(np.isfinite(row), np.minimum(row, 1e30), 1e30)
    return np.where(row > 0, row, np.nan)


def _slopes(
    ax: Axes, told: Mapping[str, Any], arrays: Mapping[str, Any], values: np.ndarray
) -> None:
    """A short dotted line of each order, below the lines of its schemes."""
    drawn = set()
    own = arrays["own"]
    hs = arrays["hs"]
    for k, name in enumerate(told["schemes"]):
        run = told["order"].get(name)
        order = told["orders_of"][name]
        if not run or run["value"] is None or order in drawn:
            continue
        drawn.add(order)
        x = np.array([run["low"], run["high"]])
        at = int(np.argmin(np.abs(hs - run["low"])))
        y = 0.5 * own[k, at] * (x / hs[at]) ** order
        ax.loglog(x, y, ":", color=GREY, linewidth=0.9)
        ax.annotate(
            f"slope {order}",
            (x[1], y[1]),
            (3, 2),
            textcoords="offset points",
            fontsize=7,
            color=GREY,
            va="top",
        )
