"""The helices of a chain of bars, moving: a short file that loops on the page."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from ..systems import bar_distance, from_bars
from ._blocks import Film
from ._draw import INK, MODEL, MUTED, OTHERS, drawing
from ._numbers import number, quantity
from ._run_folder import Run


if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRAMES = 50  # of the film, at most
PLAYED = 5.0  # s that it is to last, about
SLOWEST = 0.15  # s between two of its frames, at most
PACES = (1, 2, 3, 4, 5, 10, 20, 50, 100, 200, 500, 1000)
LARGEST = 1_000_000  # bytes
DPI = 84
TURN, RISE = np.deg2rad(28.0), np.deg2rad(14.0)  # of the eye, about y and above it
WIDE, TALL = 4.1, 4.6  # inches of a panel, at most
NARROW = 2.3  # at least


def film(run: Run) -> Film | None:
    """The record's helix beside the network's, over time; the network's alone without
    a record. None where no motion was written."""
    scene = _Scene.of(run)
    if scene is None:
        return None
    frames = scene.frames()
    ts = scene.ts[frames]
    span = float(ts[-1] - ts[0])
    pace = _pace(span, len(frames))
    each = 1e3 * pace * span / max(len(frames) - 1, 1)
    images = scene.images(frames)
    middle = images[int(np.argmax([scene.reach(k) for k in frames]))]
    moving, kind = _encode(images, [round(each)] * (len(images) - 1) + [1000])
    still, _ = _encode([middle], [0])
    speed = "in real time" if pace == 1 else f"slowed down {pace} times"
    what = "The network's chain" if scene.record is None else scene.words
    when = f"{number(float(ts[0]))} to {quantity(float(ts[-1]), 's')}"
    caption = (
        f"{what}, {when}, {speed}, in a loop: the bars, one a cycle, and half circles "
        "of wire from each to the next; paler is further away."
    )
    return Film(moving, still, f"{what}, moving, {when}", caption, kind)


def still_figure(run: Run) -> Figure | None:
    """The film's frame in which the chain is furthest from its start."""
    scene = _Scene.of(run)
    if scene is None:
        return None
    figure, update = scene.stage()
    update(max(scene.frames(), key=scene.reach))
    return figure


class _Scene:
    """Both motions, the eye that sees them, and the stage."""

    def __init__(
        self, ts: np.ndarray, network: np.ndarray, record: Any, radius: float, name: str
    ) -> None:
        self.ts, self.network, self.record = ts, network, record
        self.radius, self.name = radius, name
        self.words = f"Left the {name}, right the network"

    @classmethod
    def of(cls, run: Run) -> _Scene | None:
        ts, network = run.array("bars/ts"), run.array("bars/network")
        if ts is None or network is None:
            return None
        told = run.report.get("bars") or {}
        radius = float((told.get("machine") or {}).get("radius") or 0.033)
        record = run.array("bars/record")
        name = str(told.get("truth") or "record")
        return cls(ts, network, record, radius, name)

    def frames(self) -> list[int]:
        """Samples that are shown: those where something finite is to be seen."""
        seen = np.isfinite(self.network).all((1, 2))
        if self.record is not None:
            seen |= np.isfinite(self.record).all((1, 2))
        there = np.flatnonzero(seen)
        few = np.linspace(0, len(there) - 1, min(FRAMES, len(there)))
        return [int(there[k]) for k in np.unique(few.round().astype(int))]

    def reach(self, k: int) -> float:
        """How far the chain is from its start at a sample."""
        u = self.network if self.record is None else self.record
        far = bar_distance(u[k], u[0], self.radius)
        return float(far) if np.isfinite(far) else -1.0

    def wire(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The helix as seen: points `"point 2"` and nearness `"point"` [m]."""
        smooth = 9 if len(u) > 24 else 17  # points to a half circle
        x, y, z = from_bars(u, self.radius, smooth).reshape(-1, 3).T
        right = x * np.cos(TURN) + z * np.sin(TURN)
        near = z * np.cos(TURN) - x * np.sin(TURN)
        up = y * np.cos(RISE) - near * np.sin(RISE)
        return np.stack([right, up], axis=1), near * np.cos(RISE) + y * np.sin(RISE)

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners that hold the record at all times, and the network after it as far
        as it stays near."""
        u = self.network if self.record is None else self.record
        good = np.all(np.isfinite(u), axis=(1, 2))
        points = np.concatenate([self.wire(one)[0] for one in u[good]])
        low, high = points.min(0), points.max(0)
        size = (high - low).max()
        late = self.network[~good & np.all(np.isfinite(self.network), axis=(1, 2))]
        if len(late):
            points = np.concatenate([self.wire(one)[0] for one in late])
            low = np.maximum(np.minimum(low, points.min(0)), low - size)
            high = np.minimum(np.maximum(high, points.max(0)), high + size)
        return low - 0.04 * size, high + 0.04 * size

    def stage(self) -> tuple[Figure, Any]:
        """The figure, and a function that shows a sample on it."""
        from matplotlib.collections import LineCollection
        from matplotlib.figure import Figure

        low, high = self.box()
        shape = high - low
        scale = min(WIDE / shape[0], TALL / shape[1])
        panels = [("network", self.network, MODEL)]
        if self.record is not None:
            panels.insert(0, (self.name, self.record, OTHERS[0]))
        wide = max(NARROW, scale * shape[0])
        tall = max(NARROW, scale * shape[1])
        top = 0.36  # inches for the words
        with drawing():
            figure = Figure(figsize=(wide * len(panels), tall + top), dpi=DPI)
            drawn = []
            for k, (name, motion, colour) in enumerate(panels):
                share = tall / (tall + top)
                ax = figure.add_axes((k / len(panels), 0.0, 1 / len(panels), share))
                ax.set_axis_off()
                room = 0.5 * np.array([wide, tall]) / scale
                left, bottom = 0.5 * (low + high) - room
                ax.set(
                    xlim=(left, left + 2 * room[0]), ylim=(bottom, bottom + 2 * room[1])
                )
                lines = LineCollection([], linewidths=1.1, capstyle="round")
                ax.add_collection(lines)
                words = figure.text(
                    (k + 0.5) / len(panels),
                    1 - 0.06 / (tall + top),
                    name,
                    ha="center",
                    va="top",
                    color=colour,
                    fontsize=11,
                )
                drawn.append((lines, words, motion, name, colour))
            _ruler(figure.axes[-1], wide / scale, tall / scale)
            clock = figure.text(0.015, 1 - 0.06 / (tall + top), "", va="top")

        def update(k: int) -> None:
            for lines, words, motion, name, colour in drawn:
                good = np.isfinite(motion[k]).all()
                segments, tints = self.segments(motion[k], colour) if good else ([], [])
                lines.set_segments(segments)
                lines.set_color(tints)
                over = "over" if motion is self.record else "not finite"
                words.set_text(name if good else f"{name}: {over}")
            clock.set_text(f"{self.ts[k]:.2f} s")

        return figure, update

    def segments(self, u: np.ndarray, colour: str) -> tuple[np.ndarray, np.ndarray]:
        """Pieces of wire from the furthest to the nearest, paler where further."""
        from matplotlib.colors import to_rgb

        points, near = self.wire(u)
        pieces = np.stack([points[:-1], points[1:]], axis=1)
        depth = 0.5 * (near[:-1] + near[1:])
        order = np.argsort(depth, kind="stable")
        # against the mean over a cycle: where the cycle is moves all of it
        one = np.ones(max(1, len(depth) // max(len(u) - 1, 1)))
        mean = np.convolve(depth, one, "same") / np.convolve(
            np.ones_like(depth), one, "same"
        )
        local = depth - mean
        share = np.clip(0.5 + 0.5 * local / self.radius, 0.0, 1.0)
        rgb = np.asarray(to_rgb(colour))
        pale = 0.35 * rgb + 0.65
        tints = pale + share[:, None] * (rgb - pale)
        return pieces[order], tints[order]

    def images(self, frames: list[int]) -> list[Any]:
        """The frames as pictures of the same size."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from PIL import Image

        figure, update = self.stage()
        canvas = FigureCanvasAgg(figure)
        figure.set_facecolor("white")
        out = []
        with drawing():
            for k in frames:
                update(k)
                canvas.draw()
                pixels = np.asarray(canvas.buffer_rgba())[..., :3]
                out.append(Image.fromarray(np.ascontiguousarray(pixels)))
        return out


def _ruler(ax: Any, wide: float, tall: float) -> None:
    """A length to compare with, at the lower right."""
    size = 0.3 * min(wide, max(tall, wide))
    known = [m * 10.0**k for k in range(-3, 1) for m in (1, 2, 5)]
    length = max((x for x in known if x <= size), default=known[0])
    right, bottom = ax.get_xlim()[1] - 0.04 * wide, ax.get_ylim()[0] + 0.03 * tall
    ax.plot([right - length, right], [bottom, bottom], color=INK, linewidth=1.2)
    ax.text(
        right - 0.5 * length,
        bottom + 0.01 * tall,
        f"{1e3 * length:.4g} mm",
        ha="center",
        va="bottom",
        fontsize=8.5,
        color=MUTED,
    )


def _pace(span: float, frames: int) -> int:
    """How many times slower than it was: about `PLAYED` seconds, without jerks."""
    most = min(PLAYED, SLOWEST * max(frames - 1, 1)) / span
    return max((p for p in PACES if p <= most), default=1)


def _encode(images: list[Any], durations: list[int]) -> tuple[bytes, str]:
    """One file of them, no larger than `LARGEST`, and what it is. GIF where this
    Pillow has no WebP."""
    from PIL import features

    webp = bool(features.check("webp"))
    kind = "WEBP" if webp else "GIF"
    more: dict[str, Any] = {}
    if len(images) > 1:
        more = {"save_all": True, "loop": 0, "duration": durations}
    raw = b""
    for quality in (60, 30, 15):
        own = {"quality": quality, "method": 4} if webp else {"optimize": True}
        pictures = images
        if not webp:
            pictures = [image.quantize(quality) for image in images]
        if len(pictures) > 1:
            more["append_images"] = pictures[1:]
        buffer = io.BytesIO()
        pictures[0].save(buffer, kind, **own, **more)
        raw = buffer.getvalue()
        if len(raw) <= LARGEST:
            return raw, f"image/{kind.lower()}"
    if len(images) > 8:  # half the frames, each twice as long
        return _encode(images[::2], [2 * d for d in durations[::2]])
    return raw, f"image/{kind.lower()}"
