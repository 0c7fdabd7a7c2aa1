"""How every figure is drawn: colours that colour-blind readers tell apart, few
points, text as text, and an SVG that fits into a page.

Matplotlib is imported by the first figure, without a display (no pyplot).
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ._blocks import clean
from ._numbers import number


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MAX_POINTS = 2000  # of one curve
SPAN = 9.0  # widths in inches: beside a column of text, over the page, half of it
WIDE = 12.6
HALF = 6.2

# Okabe and Ito's palette. The first five become variables of the style sheet, so
# that a figure follows it into the dark.
INK, MUTED, LINE, MODEL = "#1c2127", "#5d6673", "#d9dde3", "#0072b2"
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    MODEL: "var(--model)",
}
OTHERS = ("#d55e00", "#009e73", "#cc79a7", "#e69f00")
DASHES = ((0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (3, 1.5)))

_RC: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pendula",
    "text.parse_math": False,
    "text.usetex": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.4,
    "legend.borderaxespad": 0.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.3,
    "lines.solid_capstyle": "round",
    "hatch.linewidth": 0.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "path.simplify": True,
    "path.simplify_threshold": 0.2,
    "axes.unicode_minus": True,
    "mathtext.default": "regular",
}


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Inside, Matplotlib draws in the house style; outside nothing has changed."""
    import matplotlib

    with matplotlib.rc_context(dict(_RC)), warnings.catch_warnings():
        # names in scripts that the fallback font lacks: the reader's own has them
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


def canvas(
    width: float,
    height: float,
    rows: int = 1,
    cols: int = 1,
    *,
    pad: float = 0.03,
    **grid: Any,
) -> Any:
    """A figure of that size [inch] and its axes, `"rows cols"`, `pad` [inch] apart."""
    figure = blank(width, height, pad)
    axes = figure.subplots(rows, cols, squeeze=False, **grid)
    return figure, axes


def blank(width: float, height: float, pad: float = 0.03) -> Figure:
    """A figure of that size [inch] without axes."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=pad, h_pad=0.03)
    return Figure(figsize=(width, height), layout=layout)


def thin(*curves: np.ndarray, limit: int = MAX_POINTS) -> list[np.ndarray]:
    """Curves over one axis at no more than `limit` points, the last one kept."""
    n = len(curves[0])
    if n <= limit:
        return [np.asarray(c) for c in curves]
    keep = np.unique(np.linspace(0, n - 1, limit).round().astype(int))
    return [np.asarray(c)[keep] for c in curves]


def label(text: object) -> str:
    """A text that Matplotlib takes literally (it hides labels that begin with _)."""
    return clean(text).replace("\n", " ").lstrip("_") or " "


def log_axis(axes: Axes, which: str = "y") -> None:
    """A logarithmic axis with plain numbers at its ticks."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    low, high = sorted(getattr(axes, f"get_{which}lim")())
    few = np.log10(high / low) < 1.9
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda v, _: number(float(f"{v:.6g}"), 1)))
    axis.set_minor_formatter(NullFormatter())


def mark_time(axes: Axes, x: float, text: str) -> None:
    """A thin vertical line with its meaning at its top, on the side with room."""
    axes.axvline(x, color=MUTED, linewidth=0.9, zorder=1)
    low, high = axes.get_xlim()
    left = x > low + 0.7 * (high - low)
    note = axes.annotate(
        label(text),
        (x, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if left else 4, -1),
        textcoords="offset points",
        ha="right" if left else "left",
        va="top",
        fontsize=8.5,
        color=MUTED,
        annotation_clip=False,
    )
    note.set_in_layout(False)


def to_svg(figure: Figure, key: str) -> str:
    """The figure as an SVG element for a page; `key` keeps its ids apart from those
    of other figures on it."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with drawing():
        figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.S)
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    # inside HTML the name spaces are known; without them the page names no address
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    text = text.replace("xlink:href=", "href=")
    text = re.sub(
        r"<svg[^>]*>",
        lambda m: re.sub(r'\s(?:width|height|version)="[^"]*"', "", m.group()),
        text,
        count=1,
    )
    text = re.sub(r'id="', f'id="{key}-', text)
    text = re.sub(r'href="#', f'href="#{key}-', text)
    text = text.replace("url(#", f"url(#{key}-")
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return text


def to_png(figure: Figure, path: Any, dpi: int = 160) -> None:
    """The figure as a PNG file on white."""
    with drawing():
        figure.savefig(path, format="png", dpi=dpi, facecolor="white")
