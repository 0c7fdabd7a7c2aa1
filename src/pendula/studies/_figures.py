"""Figures beside the claims: small SVG files, the same bytes for the same numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import replacing


if TYPE_CHECKING:
    from matplotlib.axes import Axes

# distinguishable without colour vision (Okabe, Ito 2008)
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00")
POINTS = 800


@contextlib.contextmanager
def figure(path: Path, rows: int, height: float) -> Iterator[list[Axes]]:
    """Axes below each other with a common time axis, written to `path` at the end."""
    with sheet(path, (7.0, height), (rows, 1), 9.0) as (_, axes):
        yield axes


@contextlib.contextmanager
def sheet(
    path: Path, size: tuple[float, float], grid: tuple[int, int], font: float
) -> Iterator[tuple[Any, list[Axes]]]:
    """A figure and its axes, of which those below each other share theirs."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": path.name,
        "font.size": font,
        "image.composite_image": False,
    }
    with mpl.rc_context(style):
        fig, axes = plt.subplots(
            *grid, figsize=size, sharex="col", layout="constrained", squeeze=False
        )
        try:
            yield fig, list(axes.ravel())
            with replacing(path) as temporary:
                if path.suffix == ".png":
                    _save_small(fig, temporary)
                else:
                    fig.savefig(temporary, metadata={"Date": None})
        finally:
            plt.close(fig)


def _save_small(fig: Any, path: Path) -> None:
    """As PNG of 256 colours: pictures of fields become much smaller."""
    import io

    from PIL import Image

    whole = io.BytesIO()
    fig.savefig(whole, format="png")
    # rare colours count as much as others: a bar of colours stays smooth
    even = Image.Quantize.MAXCOVERAGE
    picture = Image.open(whole).convert("RGB").quantize(256, method=even)
    picture.save(path, format="PNG", optimize=True)


def error_bands(path: Path, runs: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Error of free runs over time within their 90 % bands, one panel a run.

    **Arguments:** `runs`: title -> `ts` `"time"`, `error`, `low`, `high` `"time"`
    (the band about the forecast's mean).
    """
    with figure(path, len(runs), 1.0 + 1.5 * len(runs)) as axes:
        for ax, (title, run) in zip(axes, runs.items(), strict=True):
            every = slice(None, None, max(1, len(run["ts"]) // POINTS))
            t = run["ts"][every]
            ax.fill_between(
                t,
                run["low"][every],
                run["high"][every],
                color=COLOURS[0],
                alpha=0.25,
                linewidth=0,
                label="90 % band",
            )
            ax.plot(t, run["error"][every], color=COLOURS[4], linewidth=0.7)
            ax.set_ylabel(f"error [rad]\n{title}")
            ax.margins(x=0)
        axes[0].legend(loc="upper left", frameon=False)
        axes[-1].set_xlabel("t [s]")


def envelopes(path: Path, t: np.ndarray, largest: Mapping[str, np.ndarray]) -> None:
    """Largest absolute error in equal stretches of time, one curve a model."""
    with figure(path, 1, 3.2) as (ax,):
        for index, (name, values) in enumerate(largest.items()):
            colour = COLOURS[index % len(COLOURS)]
            ax.semilogy(t, values, color=colour, linewidth=1.0, label=name)
        ax.set_ylabel("largest |error| [mV]")
        ax.set_xlabel("t [s]")
        ax.margins(x=0)
        ax.legend(frameon=False, ncols=2, fontsize=8)


def maps(
    path: Path,
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]],
    values: str,
    axes: tuple[str, str],
) -> None:
    """Planes beside each other, each with contours and its own scale of colour.

    **Arguments:** `panels`: title -> (coordinate `"a"` of both axes, values `"a a"`,
    the first axis to the right); `values`: what they are; `axes`: names of both axes.
    """
    size = (2.35 * len(panels), 2.5)
    with sheet(path, size, (1, len(panels)), 8.0) as (fig, found):
        for ax, (title, (at, plane)) in zip(found, panels.items(), strict=True):
            ends = (at[0], at[-1], at[0], at[-1])
            image = ax.imshow(
                plane.T, origin="lower", extent=ends, cmap="viridis", aspect="equal"
            )
            ax.contour(at, at, plane.T, levels=8, colors="white", linewidths=0.4)
            ax.set_title(title, fontsize=8)
            ax.set_xlabel(axes[0])
            fig.colorbar(image, ax=ax, shrink=0.8)
        found[0].set_ylabel(axes[1])
        fig.suptitle(values, fontsize=8)
