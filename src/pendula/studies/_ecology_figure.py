"""The long forecast of an ecological record within its band."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..data import Trajectories
from ._figures import COLOURS, figure


def forecast_figure(
    path: Path, data: Trajectories, told: Mapping[str, np.ndarray], until: float
) -> None:
    """One panel a species: what was measured, the forecast and its 90 % interval."""
    with figure(path, data.dim, 1.0 + 1.7 * data.dim) as axes:
        for j, ax in enumerate(axes):
            mean, half = told["mean"][:, j], 1.645 * told["sd"][:, j]
            ax.fill_between(
                told["ts"],
                mean - half,
                mean + half,
                color=COLOURS[0],
                alpha=0.25,
                linewidth=0,
                label="90 % interval",
            )
            ax.plot(told["ts"], mean, color=COLOURS[0], linewidth=1.0, label="forecast")
            ys = np.where(data.mask[0, :, j], data.ys[0, :, j], np.nan)
            ax.plot(data.ts[0], ys, ".-", color=COLOURS[4], linewidth=0.5, markersize=3)
            ax.axvline(until, color=COLOURS[1], linewidth=0.8)
            ax.set_ylabel(f"ln {data.names[j]}")
            ax.margins(x=0)
        axes[0].legend(loc="upper left", frameon=False, ncols=2)
        axes[-1].set_xlabel(f"t [{data.time_unit}]")
