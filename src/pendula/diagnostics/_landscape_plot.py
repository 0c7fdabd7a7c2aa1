"""A landscape of a loss as a picture: a line, or a map with contours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._errors import DataError
from ._convergence_plot import COLOURS, GREY


if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVELS = 8  # contours


def plot_landscape(landscape: Any, ax: Axes | None = None) -> Axes:
    """Draw a `Landscape` on a logarithmic scale, the parameters themselves marked.

    **Raises:** `DataError` where no value has a logarithm.
    """
    good = np.isfinite(landscape.loss) & (landscape.loss > 0.0)
    if not good.any():
        raise DataError(
            "no value of the landscape is finite and above 0: there is nothing to draw "
            "on a logarithmic scale."
        )
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(layout="constrained")
    loss = np.where(good, landscape.loss, np.nan)
    if landscape.beta is None:
        ax.semilogy(landscape.alpha, loss, color=COLOURS[0])
        if landscape.alpha[0] <= 0.0 <= landscape.alpha[-1]:
            ax.axvline(0.0, color=GREY, linewidth=0.8, linestyle="--", zorder=1)
        ax.margins(x=0)
        ax.set_xlabel("alpha")
        ax.set_ylabel("loss")
        return ax
    image = draw_map(ax, landscape.alpha, landscape.beta, np.log10(loss))
    if all(at[0] <= 0.0 <= at[-1] for at in (landscape.alpha, landscape.beta)):
        ax.plot(0.0, 0.0, "+", color=COLOURS[1], markersize=10, markeredgewidth=2)
    ax.set_xlabel("alpha")
    ax.set_ylabel("beta")
    ax.figure.colorbar(image, ax=ax, label="log10 of the loss")
    return ax


def draw_map(ax: Axes, right: np.ndarray, up: np.ndarray, plane: np.ndarray) -> Any:
    """Values `"right up"` as colours and contours; the image."""
    half = lambda at: 0.5 * (at[1] - at[0])  # a pixel lies about its point
    ends = [end for at in (right, up) for end in (at[0] - half(at), at[-1] + half(at))]
    image = ax.imshow(
        plane.T, origin="lower", extent=tuple(ends), cmap="viridis", aspect="equal"
    )
    if np.nanmin(plane) < np.nanmax(plane):
        lines = {"colors": "white", "linewidths": 0.4, "linestyles": "solid"}
        ax.contour(right, up, plane.T, levels=LEVELS, **lines)
    return image
