"""Figures of the wakes of bodies: fields, and the bodies in the plane of eta."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..systems import AbstractBody, outline
from ._field_figures import field_sheet
from ._figures import COLOURS, sheet


_RANGE = 3.0  # U/D


def field_figure(
    path: Path,
    fields: np.ndarray,
    axes: tuple[np.ndarray, np.ndarray],
    words: str,
) -> None:
    """Phases of a period beside each other, computed above forecast.

    **Arguments:** `fields` `"2 phase x y"`, NaN inside of the body; `axes`: x and y.
    """
    count = fields.shape[1]
    shown = list(fields.reshape(-1, *fields.shape[2:]))
    size, grid = (2.1 * count, 4.0), (2, count)
    with field_sheet(path, size, grid, shown, axes, _RANGE) as (fig, panels):
        for k, ax in enumerate(panels[:count]):
            ax.set_title(f"phase {k}/{count}", fontsize=8)
        for ax, word in zip(panels[::count], ("computed", "forecast"), strict=True):
            ax.set_ylabel(f"{word}\ny [D]")
        fig.suptitle(words, fontsize=8)


def eta_map(
    path: Path,
    etas: np.ndarray,
    known: Sequence[AbstractBody],
    found: np.ndarray,
    new: Sequence[AbstractBody],
) -> None:
    """Outlines of the bodies where their eta lies, in the plane in which the training
    bodies differ most; those that were adapted to are filled."""
    centre = etas.mean(axis=0)
    _, sizes, axes_of = np.linalg.svd(etas - centre)
    plane = axes_of[:2].T
    share = 100.0 * sizes[:2] ** 2 / max(float(np.sum(sizes**2)), 1e-300)
    places = np.concatenate([etas, found]) - centre
    places = places @ plane
    reach = np.ptp(places, axis=0).max() / 12.0 + 1e-9
    with sheet(path, (6.5, 3.9), (1, 1), 8.0) as (_, (ax,)):
        for at, (body, place) in enumerate(zip([*known, *new], places, strict=True)):
            points = place + reach * outline(body, 200)
            is_new = at >= len(known)
            colour = COLOURS[1] if is_new else COLOURS[0]
            ax.fill(
                *points.T,
                facecolor=colour if is_new else "none",
                edgecolor=colour,
                linewidth=1.2,
                alpha=0.8,
            )
            gaps = np.abs(places[:at] - place) / reach
            above = bool(np.any((gaps[:, 0] < 3.0) & (gaps[:, 1] < 0.9)))
            side = 0.65 * reach * (1.0 if above else -1.0)  # of the label
            ax.annotate(
                body.label(),
                (place[0], place[1] + side),
                ha="center",
                va="bottom" if above else "top",
                fontsize=6.5,
            )
        ax.set_aspect("equal")
        ax.margins(0.1)
        ax.set_xlabel(f"first direction of eta ({share[0]:.0f} % of its variance)")
        ax.set_ylabel(f"second direction ({share[1]:.0f} %)")
