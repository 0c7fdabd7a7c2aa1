"""A metric against the noise level, with every chip."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from pathlib import Path
from typing import Any, SupportsFloat

import numpy as np

from .._columns import columns
from .._errors import ConfigError
from .._files import replacing


QUANTILES = (5, 25, 50, 75, 95)
"""Which quantiles over chips are told, in percent."""


@dataclasses.dataclass(frozen=True)
class NoiseReport:
    """What `monte_carlo` found.

    `levels`; `values` `"level instance"`: the metric of every chip; `digital`: that of
    the model without errors; `key`: the key that chips were drawn from; `table`: the
    components, as `AnalogTwin` prints them; `spread_known`: False where the errors of
    one chip on different inputs are as alike as those on one (`unfold="marginal"`), so
    that only means are those of hardware; `t`: seconds after programming; `ratios`:
    smallest and largest standard deviation of the errors at level 1 over components, as
    a share of the range and of the largest weight, None where the device knows none;
    `in_shares`: whether levels are shares of the range, else they multiply measured
    errors. `print` shows means and quantiles, every level in both conventions.
    """

    levels: tuple[Any, ...]
    values: np.ndarray
    digital: float
    key: str
    table: tuple[tuple[str, ...], ...]
    spread_known: bool
    t: float
    ratios: tuple[tuple[float, float], tuple[float, float]] | None
    in_shares: bool

    @property
    def n(self) -> int:
        """Number of chips."""
        return self.values.shape[1]

    @property
    def mean(self) -> np.ndarray:
        """Mean over chips, `"level"`."""
        return self.values.mean(axis=1)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation between chips, `"level"`; NaN for one chip, or where it is
        not known."""
        if self.n < 2 or not self.spread_known:
            return np.full(len(self.levels), np.nan)
        return self.values.std(axis=1, ddof=1)

    @property
    def error(self) -> np.ndarray:
        """Standard error of the mean, `"level"`."""
        if self.n < 2:
            return np.full(len(self.levels), np.nan)
        return self.values.std(axis=1, ddof=1) / np.sqrt(self.n)

    @property
    def quantiles(self) -> np.ndarray:
        """5, 25, 50, 75 and 95 % over chips, `"level quantile"`; NaN where they are not
        known."""
        if not self.spread_known:
            return np.full((len(self.levels), len(QUANTILES)), np.nan)
        return np.percentile(self.values, QUANTILES, axis=1).T

    def at(self, level: SupportsFloat) -> np.ndarray:
        """The chips at one level, `"instance"`. **Raises:** `ConfigError`."""
        wanted = float(level)
        for k, one in enumerate(self.levels):
            # told in seven digits, about those of float32
            if isinstance(one, float) and math.isclose(one, wanted, rel_tol=1e-6):
                return self.values[k]
        raise ConfigError(
            f"level {wanted:g} was not simulated; there are "
            f"{', '.join(map(str, self.levels))}."
        )

    def sigma(self) -> list[tuple[str, str]]:
        """Of every level the standard deviation of the errors as a share of the range,
        and of the largest weight, from the least to the largest of all components;
        empty texts where levels are several numbers or the device knows none."""
        return [
            ("", "")
            if self.ratios is None or not isinstance(level, float)
            else (shares(level, self.ratios[0]), shares(level, self.ratios[1]))
            for level in self.levels
        ]

    def __str__(self) -> str:
        """The table of means and quantiles."""
        names = [f"{q} %" for q in QUANTILES]
        head = [
            "level",
            "sigma / range",
            "sigma / max|w|",
            "mean",
            "std",
            "error",
            *names,
        ]
        known = lambda x: f"{x:.4g}" if np.isfinite(x) else "not known"
        numbers = np.column_stack([self.mean, self.std, self.error, self.quantiles])
        rows = [
            [words(level), *sigma, *map(known, row)]
            for level, sigma, row in zip(
                self.levels, self.sigma(), numbers, strict=True
            )
        ]
        chips = f"chips: {self.n}, {self.t:g} s after programming"
        return f"{columns(head, rows)}\n{chips}; without errors {self.digital:.4g}"

    def to_csv(self, path: str | Path | None = None) -> str:
        """One line a level: mean, spread, quantiles, then every chip."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = [f"q{q}" for q in QUANTILES]
        chips = [f"chip{j}" for j in range(self.n)]
        writer.writerow(["level", "mean", "std", "error", *names, *chips])
        columns = (self.mean, self.std, self.error)
        for k, level in enumerate(self.levels):
            about = [column[k] for column in columns]
            numbers = [*about, *self.quantiles[k], *self.values[k]]
            writer.writerow([level, *(f"{float(x):.9g}" for x in numbers)])
        return _written(text.getvalue(), path)

    def to_json(self, path: str | Path | None = None) -> str:
        """All of it; numbers that are not known are null."""
        about = {
            "levels": self.levels,
            "mean": _known(self.mean),
            "std": _known(self.std),
            "error": _known(self.error),
            "quantiles": _known(self.quantiles),
            "values": _numbers(self.values),
            "digital": _numbers(np.asarray(self.digital)),
            "key": self.key,
            "components": self.table,
            "seconds after programming": self.t,
            "sigma of the range, of the largest weight": self.sigma(),
        }
        return _written(json.dumps(about, indent=1), path)

    def plot(self, ax: Any = None, *, label: str = "", colour: str = "#0072b2") -> Any:
        """Mean over chips against the level, with bands of 25 to 75 and 5 to 95 %, on
        matplotlib axes; gives the axes."""
        if ax is None:
            from matplotlib import pyplot as plt

            ax = plt.subplots()[1]
        at = np.arange(len(self.levels), dtype=float)
        if all(isinstance(level, float) for level in self.levels):
            at = np.asarray(self.levels)
        if self.spread_known and self.n > 1:
            bands = self.quantiles
            for low, high in ((0, 4), (1, 3)):
                ax.fill_between(
                    at, bands[:, low], bands[:, high], color=colour, alpha=0.15, lw=0
                )
        ax.plot(at, self.mean, color=colour, marker="o", markersize=3, label=label)
        unit = "share of the range" if self.in_shares else "times the measured errors"
        ax.set_xlabel(f"noise level, {unit}")
        return ax


def shares(level: float, ratio: tuple[float, float]) -> str:
    """What a level is of the range, or of the largest weight, from the least to the
    largest of all components."""
    low, high = (f"{level * r:.3g}" for r in ratio)
    return low if low == high else f"{low} to {high}"


def words(level: Any) -> str:
    """A level as one reads it."""
    if isinstance(level, float):
        return f"{level:g}"
    return ", ".join(f"{name} {value:g}" for name, value in level)


def _known(values: np.ndarray) -> Any:
    """Numbers as JSON has them; None for all of them where none is known."""
    return None if np.isnan(values).all() else _numbers(values)


def _numbers(values: np.ndarray) -> Any:
    """Numbers as JSON has them, each None where it is not finite."""
    wide = values.astype(object)
    wide[~np.isfinite(values)] = None
    return wide.tolist()


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        with replacing(Path(path)) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return text
