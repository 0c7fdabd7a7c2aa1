"""Fields of a flow as pictures: panels of one scale of colour, and films."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from .._files import replacing
from ..data import Snapshots
from ._figures import sheet


if TYPE_CHECKING:
    from matplotlib.axes import Axes

LIMIT = 5.0  # vorticity at the ends of the colours [U/D]


@contextlib.contextmanager
def field_sheet(
    path: Path,
    size: tuple[float, float],
    grid: tuple[int, int],
    fields: Sequence[Float[np.ndarray, "x y"]],
    axes: tuple[np.ndarray, ...],
    limit: float = LIMIT,
) -> Iterator[tuple[Any, list[Axes]]]:
    """A figure and its panels, one a field of vorticity, NaN where there is none;
    `axes` are x and y of the cells. Titles are the caller's."""
    x, y = axes
    image: Any = None
    with sheet(path, size, grid, 8.0) as (fig, panels):
        for ax, shown in zip(panels, fields, strict=True):
            image = ax.imshow(
                shown.T,
                origin="lower",
                extent=(x[0], x[-1], y[0], y[-1]),
                cmap="RdBu_r",
                vmin=-limit,
                vmax=limit,
                aspect="equal",
            )
            ax.set_facecolor("0.6")
        for ax in panels[-grid[1] :]:
            ax.set_xlabel("x [D]")
        for ax in panels[:: grid[1]]:
            ax.set_ylabel("y [D]")
        yield fig, panels
        fig.colorbar(
            image, ax=panels, shrink=0.8, label="vorticity [U/D]", extend="both"
        )


def field_film(path: Path, *sets: Snapshots) -> None:
    """All snapshots as a short file that loops, those of several sets above each
    other."""
    from PIL import Image

    pictures = []
    for k in range(len(sets[0])):
        parts = [_painted(one, k) for one in sets]
        gap = np.ones((4, parts[0].shape[1], 3))
        every = [part for one in parts for part in (gap, one)][1:]
        pictures.append(Image.fromarray(np.uint8(255.0 * np.concatenate(every))))
    with replacing(path) as temporary:
        pictures[0].save(
            temporary,
            save_all=True,
            append_images=pictures[1:],
            duration=80,
            loop=0,
            quality=50,
        )


def _painted(data: Snapshots, k: int) -> np.ndarray:
    from matplotlib import colormaps

    values = data.values[k, ..., 0].T[::-1]
    shown = np.clip(values / (2.0 * LIMIT) + 0.5, 0.0, 1.0)
    picture = colormaps["RdBu_r"](shown)[..., :3]
    picture[~data.mask.T[::-1]] = 0.6
    x, y = (np.ptp(one) / (len(one) - 1) for one in data.axes.values())
    return np.repeat(picture, max(1, round(x / y)), axis=1)  # as long as it is
