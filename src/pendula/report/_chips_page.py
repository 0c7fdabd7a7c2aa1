"""The page of a network on noisy devices: curves, components, the device's card."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np

from .._errors import ConfigError
from .._files import replacing
from ..hardware import (
    TABLE_COLUMNS,
    AbstractDevice,
    AnalogTwin,
    NoiseReport,
)
from ._blocks import AbstractBlock, Facts, Picture, Section, Table, Text
from ._draw import canvas, drawing, to_svg
from ._numbers import number
from ._page import page


_HEAD = ("level", "sigma / range", "sigma / max|w|")
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00")


def chips_page(
    path: str | Path,
    twin: AnalogTwin,
    reports: Mapping[str, NoiseReport],
    *,
    metric: str = "metric",
    title: str = "On noisy devices",
) -> Path:
    """Write one self-contained page about chips of a twin.

    **Arguments:**
    - `reports`: name -> what `monte_carlo` found, one curve each (several trainings,
      say); `twin`: the one whose components and device are shown.
    - `metric`: what the numbers are, for the axis.

    **Returns:** the path. **Raises:** `ConfigError` without reports.

    ```python
    >>> import equinox as eqx, jax, tempfile
    >>> from pendula.hardware import monte_carlo, to_analog
    >>> from pendula.report import chips_page
    >>> twin = to_analog(eqx.nn.Linear(2, 1, key=jax.random.key(0)))
    >>> size = lambda chip, _: abs(chip.weight).mean()
    >>> found = monte_carlo(twin, size, None, jax.random.key(1), 3, (0.0, 0.1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = chips_page(f"{folder}/chips.html", twin, {"plain": found})
    ...     path.stat().st_size > 1000
    True

    ```
    """
    if not reports:
        raise ConfigError("there is nothing to show: give at least one report.")
    sections = [
        Section("What chips do", _curves(reports, metric), "Curves"),
        Section("What became a device", _components(twin), "Components"),
        Section("The device", _card(twin.device, twin.conventions()), "Device"),
    ]
    path = Path(path)
    with replacing(path) as temporary:
        temporary.write_text(page(title, sections, "chips"), encoding="utf-8")
    return path


def _curves(reports: Mapping[str, NoiseReport], metric: str) -> list[AbstractBlock]:
    with drawing():
        figure, axes = canvas(7.0, 3.6)
        ax = axes[0, 0]
        for k, (name, found) in enumerate(reports.items()):
            found.plot(ax, label=name, colour=_COLOURS[k % len(_COLOURS)])
        ax.set_ylabel(metric)
        ax.margins(x=0)
        ax.legend(frameon=False, fontsize=8)
        svg = to_svg(figure, "chips")
    counts = " or ".join(map(str, sorted({found.n for found in reports.values()})))
    caption = (
        f"{metric} against the noise level: mean over {counts} chips, bands of 25 to "
        "75 and 5 to 95 % of them."
    )
    blocks: list[AbstractBlock] = [Picture(svg, caption, "curves")]
    for name, found in reports.items():
        head = (*_HEAD, "mean", "std", "5 %", "median", "95 %")
        sigma = found.sigma()
        known = lambda x: number(x) if np.isfinite(x) else "not known"
        rows = [
            (
                str(level),
                *sigma[k],
                number(found.mean[k]),
                known(found.std[k]),
                *(known(found.quantiles[k, j]) for j in (0, 2, 4)),
            )
            for k, level in enumerate(found.levels)
        ]
        digital = f"{name}: without errors {number(found.digital)}"
        blocks.append(Table(head, rows, digital))
        if not found.spread_known:
            words = (
                f"{name}: the copies of kernels were drawn apart for every input, so "
                "that means are those of hardware and spreads are not."
            )
            blocks.append(Text(words, quiet=True))
    return blocks


def _components(twin: AnalogTwin) -> list[AbstractBlock]:
    rows = twin.table()
    total = sum(c.devices for c in twin.components)
    blocks: list[AbstractBlock] = [
        Table(TABLE_COLUMNS, rows, f"{total} devices", words=(0, 1, 2, 6))
    ]
    if twin.digital:
        blocks.append(Table(("path", "why it is digital"), twin.digital, words=None))
    return blocks


def _card(device: AbstractDevice, level: str | None = None) -> list[AbstractBlock]:
    """Name, constants, and where they come from; the same of the devices inside.
    `level`: that of the chips, as it is told."""
    source = getattr(type(device), "source", None)
    facts: list[tuple[str, str | None]] = [("device", type(device).__name__)]
    inner: list[AbstractDevice] = []
    for field in dataclasses.fields(device):
        value: Any = getattr(device, field.name)
        if isinstance(value, AbstractDevice):
            inner.append(value)
        elif isinstance(value, eqx.Module):
            facts.append((field.name, type(value).__name__))
        else:
            facts.append((field.name.replace("_", " "), str(value)))
    if level is not None:
        facts.append(("level, in both conventions", level))
    facts.append(("source", None if source is None else str(source)))
    blocks: list[AbstractBlock] = [Facts(facts)]
    for one in inner:
        blocks.append(Text("made of"))
        blocks.extend(_card(one))
    return blocks
