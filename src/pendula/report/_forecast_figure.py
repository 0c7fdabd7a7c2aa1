"""Figure: the data, the free-run forecast beside truth and baselines, its band."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._channels import axis_of_time, baseline_names, channels, time_unit
from ._draw import (
    DASHES,
    INK,
    MODEL,
    MUTED,
    OTHERS,
    SPAN,
    WIDE,
    blank,
    canvas,
    drawing,
    label,
    mark_time,
    thin,
)
from ._numbers import axis_label, quantity
from ._run_folder import Run


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CHANNELS = 4  # drawn; the arrays hold all
CROWDED = 14  # cycles beyond which a curve is also shown enlarged
SHOWN = 6  # cycles of an enlarged part
BEYOND = "90 % band, beyond the verdict"


def forecast_figure(run: Run) -> Figure | None:
    """Every channel over the whole time; with one channel that swings often also
    two enlarged parts: the start of the forecast, and where trust or the forecast
    ends. None without a forecast."""
    curves = _curves(run)
    if curves is None:
        return None
    count = min(curves["mean"].shape[1], MAX_CHANNELS)
    parts = _parts(run, curves, 0) if count == 1 else []
    rows = count + bool(parts)
    height = {1: 3.0, 2: 4.7}.get(rows, 1.4 + 1.35 * rows)
    with drawing():
        figure = blank(SPAN, height)
        grid = figure.add_gridspec(rows, max(len(parts), 1))
        whole = [figure.add_subplot(grid[j, :]) for j in range(count)]
        enlarged = [figure.add_subplot(grid[count, k]) for k in range(len(parts))]
        for j, ax in enumerate(whole):
            draw_forecast(ax, run, curves, j, crowded=bool(parts))
        legend_above(figure, whole[0])
        for ax, (low, high) in zip(enlarged, parts, strict=True):
            draw_forecast(ax, run, curves, 0, window=(low, high))
            whole[0].axvspan(low, high, color=MUTED, alpha=0.09, linewidth=0, zorder=0)
        for ax in enlarged[1:]:
            ax.set_ylabel("")
        for ax in whole[:-1]:
            ax.tick_params(labelbottom=False)
        for ax in enlarged or whole[-1:]:
            ax.set_xlabel(axis_of_time(run))
    return figure


def enlarged_figure(run: Run) -> Figure | None:
    """With several channels that swing often: the start of the forecast, enlarged.
    None where `forecast_figure` shows enough."""
    curves = _curves(run)
    if curves is None or curves["mean"].shape[1] < 2:
        return None
    parts = _parts(run, curves, 0)
    if not parts:
        return None
    count = min(curves["mean"].shape[1], MAX_CHANNELS)
    with drawing():
        figure, axes = canvas(WIDE, 1.2 + 1.7 * count, count, 2, sharex="col")
        for j in range(count):
            for k, window in enumerate(parts[:2]):
                draw_forecast(axes[j, k], run, curves, j, window=window)
                if k:
                    axes[j, k].set_ylabel("")
        for ax in axes[-1]:
            ax.set_xlabel(axis_of_time(run))
        legend_above(figure, axes[0, 0])
    return figure


def data_figure(run: Run) -> Figure | None:
    """The first trajectory as it was read, and where validation begins."""
    ts, ys = run.array("data/ts"), run.array("data/ys")
    if ts is None or ys is None:
        return None
    ys = _columns(ys)
    mask = run.array("data/mask")
    ys = ys if mask is None else np.where(_columns(mask), ys, np.nan)
    count = min(ys.shape[1], MAX_CHANNELS)
    names = channels(run, ys.shape[1])
    split = run.number("data/split_time")
    with drawing():
        figure, axes = canvas(WIDE, 1.0 + 1.25 * count, count, 1, sharex=True)
        for j in range(count):
            ax = axes[j, 0]
            t, y = thin(ts, ys[:, j])
            ax.plot(*joined(t, y), color=INK, linewidth=0.8)
            ax.set_ylabel(label(axis_label(*names[j])))
            ax.margins(x=0.005)
            low, high = ax.get_ylim()
            ax.set_ylim(low, high + 0.1 * (high - low))
            if split is not None:
                mark_time(ax, split, "held out from here" if j == 0 else "")
        axes[-1, 0].set_xlabel(axis_of_time(run))
    return figure


def draw_forecast(
    ax: Axes,
    run: Run,
    curves: dict[str, Any],
    j: int,
    *,
    window: tuple[float, float] | None = None,
    crowded: bool = False,
) -> None:
    """One channel on one pair of axes; `window` shows a part of the time."""
    ts = curves["ts"]
    pick = slice(None) if window is None else _inside(ts, window)
    t = ts[pick]
    low, high, mean = (curves[k][pick, j] for k in ("low", "high", "mean"))
    draw_band(ax, t, low, high, curves["trusted_to"])
    for k, (name, values) in enumerate(curves["baselines"].items()):
        style = {"color": OTHERS[k % 4], "linestyle": DASHES[k % 4]}
        width = 0.7 if crowded else 1.0
        ax.plot(
            t, values[pick, j], linewidth=width, label=label(name), zorder=3, **style
        )
    if curves["truth"] is not None:
        ax.plot(
            *joined(t, curves["truth"][pick, j]),
            color=INK,
            linewidth=0.8 if crowded else 1.1,
            label="measured",
            zorder=4,
        )
    if curves["data"] is not None:
        dt, dy = curves["data"]
        inside = slice(None) if window is None else _inside(dt, window)
        width = 0.8 if crowded else 1.1
        ax.plot(
            *joined(dt[inside], dy[inside, j]), color=INK, linewidth=width, zorder=4
        )
    ax.plot(
        t,
        mean,
        color=MODEL,
        linewidth=0.9 if crowded else 1.6,
        label="forecast",
        zorder=5,
        linestyle="-" if curves["truth"] is None or crowded else (0, (4, 2)),
    )
    _limits(ax, curves, j, window)
    name, unit = curves["channels"][j]
    ax.set_ylabel(label(axis_label(name, unit)))
    start = float(ts[0])
    shown = window or (-np.inf, np.inf)
    if curves["data"] is not None and shown[0] < start < shown[1]:
        mark_time(ax, start, "forecast starts" if j == 0 else "")
    until = curves["trusted_to"]
    if max(start, shown[0]) < until < min(ts[-1], shown[1]):
        text = f"trusted to {quantity(until, time_unit(run))}"
        mark_time(ax, until, text if j == 0 else "")


def draw_band(
    ax: Axes, t: np.ndarray, low: np.ndarray, high: np.ndarray, until: float
) -> None:
    """The 90 % band, hatched beyond `until`. **Shapes:** all `"time"`."""
    known = t <= until
    # both parts share the sample between them, so that the band has no gap
    beyond = ~known
    beyond[:-1] |= ~known[1:]
    if known.any():
        ax.fill_between(
            t,
            low,
            high,
            where=known,
            color=MODEL,
            alpha=0.28,
            linewidth=0,
            zorder=2,
            label="90 % band",
        )
    if (~known).any():
        ax.fill_between(
            t,
            low,
            high,
            where=beyond,
            facecolor="none",
            edgecolor=MODEL,
            hatch="//////",
            alpha=0.75,
            linewidth=0,
            zorder=2,
            label=BEYOND,
        )


def legend_above(figure: Figure, ax: Axes) -> None:
    """One legend over all axes: measured, forecast, band, baselines."""
    handles, labels = ax.get_legend_handles_labels()
    order = {"truth": 0, "measured": 1, "forecast": 2, "90 % band": 3, BEYOND: 4}
    pairs = sorted(
        zip(handles, labels, strict=True), key=lambda pair: order.get(pair[1], 9)
    )
    figure.legend(
        [p[0] for p in pairs],
        [p[1] for p in pairs],
        loc="outside upper left",
        ncols=len(pairs) if len(pairs) <= 6 + (BEYOND not in labels) else 4,
    )


def _curves(run: Run) -> dict[str, Any] | None:
    """The arrays of the forecast with one shape, thinned, absent ones as None."""
    ts, mean = run.array("forecast/ts"), run.array("forecast/mean")
    if ts is None or mean is None:
        return None
    mean = _columns(mean)
    other = [run.array(f"forecast/{k}") for k in ("low", "high", "truth")]
    low, high, truth = (v if v is None else _columns(v) for v in other)
    low, high = (mean if v is None else v for v in (low, high))
    if truth is not None and not np.isfinite(truth).any():
        truth = None
    given = run.group("forecast/baseline_")
    told = [n for n in baseline_names(run) if n in given][: len(OTHERS)]
    extra = [_columns(given[n]) for n in told]
    packed = thin(ts, mean, low, high, *extra, *([] if truth is None else [truth]))
    ts, mean, low, high = packed[:4]
    trusted = run.number("forecast/trusted_to")
    return {
        "ts": ts,
        "mean": mean,
        "low": low,
        "high": high,
        "baselines": dict(zip(told, packed[4 : 4 + len(told)], strict=True)),
        "truth": None if truth is None else packed[-1],
        "trusted_to": np.inf if trusted is None else trusted,
        "data": _before(run, float(ts[0])),
        "channels": channels(run, mean.shape[1]),
    }


def _before(run: Run, start: float) -> tuple[np.ndarray, np.ndarray] | None:
    """The record up to the forecast, where the forecast continues that record."""
    split = run.number("data/split_time")
    ts, ys = run.array("data/ts"), run.array("data/ys")
    if split is None or ts is None or ys is None or not ts[0] < start <= ts[-1]:
        return None
    mask = run.array("data/mask")
    ys = _columns(ys)
    ys = ys if mask is None else np.where(_columns(mask), ys, np.nan)
    keep = ts <= start
    t, y = thin(ts[keep], ys[keep])
    return t, y


def _parts(run: Run, curves: dict[str, Any], j: int) -> list[tuple[float, float]]:
    """Windows worth enlarging: none for a signal of few cycles."""
    ts, mean = curves["ts"], curves["mean"][:, j]
    begin = ts[0] if curves["data"] is None else curves["data"][0][0]
    y = mean[np.isfinite(mean)]
    if len(y) < 8:
        return []
    centred = y - np.median(y)
    cycles = np.count_nonzero(np.diff(np.signbit(centred))) / 2
    span = float(ts[-1] - ts[0])
    if cycles < 1 or cycles * (ts[-1] - begin) / span < CROWDED:
        return []
    cycle = span / cycles
    width = SHOWN * cycle
    first = max(float(begin), float(ts[0]) - cycle)
    until = curves["trusted_to"]
    inside = ts[0] + width < until < ts[-1] - 0.2 * width
    last = min(float(ts[-1]), until + 0.5 * width) if inside else float(ts[-1])
    if last - width <= first + 0.8 * width:  # they would show much the same
        return [(first, max(last, first + width))]
    return [(first, first + width), (last - width, last)]


def _limits(
    ax: Axes, curves: dict[str, Any], j: int, window: tuple[float, float] | None
) -> None:
    """What is true and what is forecast set the range: a baseline that runs away
    or a band that explodes does not."""
    shown = [curves["mean"]] + ([] if curves["truth"] is None else [curves["truth"]])
    inside = slice(None) if window is None else _inside(curves["ts"], window)
    values = [c[inside, j] for c in shown]
    if curves["truth"] is not None:  # a forecast that runs away neither
        spread = np.nanmax(curves["truth"][:, j]) - np.nanmin(curves["truth"][:, j])
        middle = np.nanmedian(curves["truth"][:, j])
        values[0] = np.clip(values[0], middle - 2 * spread, middle + 2 * spread)
    if curves["data"] is not None:
        t, y = curves["data"]
        values.append(y[slice(None) if window is None else _inside(t, window), j])
    every = np.concatenate([np.ravel(v) for v in values])
    every = every[np.isfinite(every)]
    if len(every):
        low, high = float(every.min()), float(every.max())
        pad = 0.12 * (high - low) or 0.1 * max(abs(high), 1.0)
        ax.set_ylim(low - pad, high + 2 * pad)  # above: room for words
    begin = curves["ts"][0] if curves["data"] is None else curves["data"][0][0]
    ax.set_xlim(*(window or (float(begin), float(curves["ts"][-1]))))


def _inside(ts: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    keep = (ts >= window[0]) & (ts <= window[1])
    # one sample more on either side, so that lines reach the frame
    out = keep.copy()
    out[1:] |= keep[:-1]
    out[:-1] |= keep[1:]
    return out


def joined(t: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A line through the samples that are there, broken where many are missing in a
    row (a NaN marks the break)."""
    there = np.isfinite(y)
    if there.all() or not there.any():
        return t, y
    t, y = t[there], y[there]
    step = np.diff(t)
    far = np.flatnonzero(step > 6 * np.median(step)) + 1 if len(step) else []
    return np.insert(t, far, np.nan), np.insert(y, far, np.nan)


def _columns(values: np.ndarray) -> np.ndarray:
    """`"time"` or `"time dim"` -> `"time dim"`."""
    values = np.asarray(values)
    return values[:, None] if values.ndim == 1 else values
