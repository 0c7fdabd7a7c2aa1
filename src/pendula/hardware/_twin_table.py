"""The table of an analog twin as text, and its errors in both conventions."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._columns import columns
from .._errors import ConfigError
from ._component import Component
from ._device import RangeNoise, in_shares, there
from ._noise_report import shares


TABLE_COLUMNS = (
    "path",
    "kind",
    "shape",
    "devices",
    "range",
    "s",
    "die",
    "sigma at 0.05",
    "of max|w|",
)
"""What the cells of a row of `AnalogTwin.table` are; the last two are the standard
deviation of errors of 5 % of the range, and the same as a share of the largest
weight."""


def ratios(twin: Any) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Smallest and largest standard deviation, over components, of the errors at level
    1: as a share of the range (that of the die, where components share one), and of the
    largest weight. Of errors that differ within
    a component, their root mean square. None where the device knows none."""
    found: list[tuple[float, float]] = []
    for c, w, scale in zip(
        twin.components, twin.programmed(), twin.scales(), strict=True
    ):
        if c.kind in ("shortcut", "pulse", "read") or not np.any(np.asarray(w)):
            continue
        w, scale = there(w), there(scale)
        try:
            size = twin.device.sigma(w, 1.0, scale=scale)
        except ConfigError:
            return None
        rows = twin.settings.bias_rows if c.kind == "bias" else 1
        axes = tuple(range(c.stack, w.ndim))
        wide = lambda x: np.asarray(x, np.float64)
        rms = np.sqrt(np.mean(wide(size) ** 2, axes, keepdims=True) / rows)
        top = np.max(np.abs(wide(w)), axes, keepdims=True)
        whole = np.broadcast_to(wide(scale), rms.shape)
        some = top > 0
        found += zip(rms[some] / whole[some], rms[some] / top[some], strict=True)
    if not found:
        return None
    eta, largest = np.transpose(found)
    return (eta.min(), eta.max()), (largest.min(), largest.max())


def conventions(twin: Any) -> str:
    """The level of the twin's device as it is said here and elsewhere."""
    level = twin.device.default_level
    what = "" if in_shares(twin.device) else " times the measured errors"
    found = ratios(twin)
    if found is None:
        return f"{level:g}{what}"
    eta, top = (shares(level, each) for each in found)
    fixed = isinstance(twin.device, RangeNoise) and not isinstance(
        twin.device.range, str
    )
    of = "full scale" if fixed else "range"
    return f"{level:g}{what}, sigma = {eta} of the {of} = {top} of the largest weight"


def table_text(twin: Any) -> str:
    """Components, what is digital, and both conventions of the level."""
    lines = [columns(TABLE_COLUMNS, table_rows(twin))]
    total = sum(c.devices for c in twin.components)
    lines.append(f"{total} devices ({type(twin.device).__name__})")
    if twin.digital:
        lines.append("digital: " + "; ".join(f"{p} ({r})" for p, r in twin.digital))
    if not any(c.kind == "shortcut" for c in twin.components):
        lines.append("no shortcut modules found")
    lines.append(f"default level: {twin.conventions()}")
    if isinstance(twin.device, RangeNoise):
        lines.extend(_clipped(twin, twin.device))
    return "\n".join(lines)


def _clipped(twin: Any, device: RangeNoise) -> list[str]:
    """What a fixed full scale cuts off."""
    if isinstance(device.range, str):
        return []
    cut = total = 0
    for c, w, scale in zip(
        twin.components, twin.programmed(), twin.scales(), strict=True
    ):
        if c.role != "draw":
            w, scale = there(w), there(scale)
            cut += int(jnp.sum(device.clipped(w, scale) != w))
            total += w.size
    return [
        f"beyond the full scale: {100.0 * cut / max(total, 1):.3g} % of the weights"
    ]


def table_rows(twin: Any) -> list[tuple[str, ...]]:
    """The cells of the table, as text."""
    scales = twin.scales()
    shown: list[tuple[str, ...]] = []
    weights = twin.programmed()
    for c, w, scale in zip(twin.components, weights, scales, strict=True):
        sizes = np.asarray(there(scale), np.float64)
        top = f"{sizes.max():.4g}"
        s = ""
        if c.partner is not None and c.kind == "bias":
            whole = np.asarray(there(scales[c.partner]), np.float64).reshape(-1)
            safe = np.where(whole > 0, whole, np.inf)
            s = f"{np.max(sizes.reshape(-1) / safe):.3g}"
        shape = "x".join(map(str, c.shape)) or "1"
        shown.append(
            (
                c.path,
                c.kind,
                shape,
                str(c.devices),
                top,
                s,
                c.die,
                f"{0.05 * sizes.max():.3g}",
                _of_largest(c, w, sizes),
            )
        )
    return shown


def _of_largest(c: Component, w: Array | None, sizes: np.ndarray) -> str:
    """5 % of the range as a share of the largest weight; of layers in one array, the
    largest share."""
    if c.kind in ("shortcut", "pulse"):
        return f"{0.05 * sizes.max():.3g}"  # of weights and pulses of 1
    axes = tuple(range(c.stack, there(w).ndim))
    top = np.max(np.abs(np.asarray(w, np.float64)), axes).reshape(-1)
    return f"{0.05 * np.max(sizes.reshape(-1) / np.where(top > 0, top, np.inf)):.3g}"
