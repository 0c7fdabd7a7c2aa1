"""Part `sst` of study `latent`: sea-surface temperatures, against what every forecast
of them must beat."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from ..data import read_snapshots
from ..latent import (
    FieldCodec,
    HankelDMD,
    LatentFitConfig,
    climatology,
    delay_windows,
    latent_linear,
    relative_errors,
)
from ._claim import Claim
from ._figures import COLOURS, sheet
from ._latent import KAE, latent, trained_latent
from ._row import Row
from ._study import Run, stored_file


@dataclasses.dataclass(frozen=True)
class Sea:
    """A set: its file, what of it is for training, how far is forecast, and the sizes
    of the models; `unit` of its steps."""

    file: str
    words: str
    train: int
    horizons: tuple[int, ...]
    unit: str
    delays: int
    steps: int
    n: int


_SEAS = {
    "daily": Sea(
        "oisst_daily_tasmania_2003_2004.nc",
        "12 cells off Tasmania, daily, trained on 2003, 2004 forecast",
        365,
        (1, 7, 30, 90),
        "days",
        7,
        30,
        6,
    ),
    "tropics": Sea(
        "ostia_tropics_monthly_2006_2010.nc",
        "the tropics, monthly, trained on 36 months, 18 forecast",
        36,
        (1, 3, 6),
        "months",
        1,
        6,
        4,
    ),
    "nino3": Sea(
        "nino3_monthly.csv",
        "NINO3 box, monthly, trained on 1871 to 1950, forecast to 1997",
        960,
        (1, 3, 6, 12),
        "months",
        24,
        12,
        6,
    ),
}
_YEAR = 365.2425
_NAMES = {
    "persistence": "persistence",
    "climatology": "climatology of two harmonics, from training years",
    "damped": "climatology and the last anomaly, damped as in the training years",
    "dmd": "climatology and DMD of anomalies on delays",
    "rotation": "climatology and rotations in a latent space of anomalies on delays",
    "koopman": "consistent Koopman autoencoder of the temperatures themselves",
}
_TRIED = {
    "daily": "Linear and curved coders, 1, 2 and 7 delays, 4 to 24 latent numbers, "
    "windows of 14 and 30 steps; one year has too few anomalies to learn more than "
    "their decay. What the latent numbers miss of the last day, carried along, helps "
    "at one day (by hand, on 2004), and not enough.",
    "tropics": "By hand, trained on 24 and 27 of the 36 months and judged on the rest: "
    "2 to 8 latent numbers, windows of 6 to 9 steps, mu of 0.1 to 10: 6 months ahead "
    "the season is better there in all of them. Damped anomalies are no better than "
    "it either.",
    "nino3": "By hand, trained until 1930 and judged until 1950: windows of 12 to 48 "
    "months, 12 to 36 delays, 2 to 8 latent numbers, mu of 0.1 to 10, weight decay, "
    "what the latent numbers miss of the last month carried along: 12 months ahead the "
    "season is better in all of them. Damped anomalies do not beat it either.",
}


def _rows() -> Iterator[Row]:
    for key, sea in _SEAS.items():
        for h in sea.horizons:
            where = f"{h} {sea.unit} ahead; {sea.words}"
            for name, words in _NAMES.items():
                yield Row(
                    f"latent.sst.{key}_{h}_{name}",
                    f"Mean relative error in degrees Celsius, cells weighted by "
                    f"cos(latitude), {where}: {words}.",
                    source=KAE if name == "koopman" else "ours",
                )
            yield Row(
                f"latent.sst.{key}_{h}_useful",
                f"Error of the rotations over that of the better of persistence and "
                f"climatology, {where}.",
                target=1.0,
                tried=_TRIED[key],
            )


def _opened(key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times in years, temperatures `"time m"` in degrees Celsius, weights `"m"`."""
    sea = _SEAS[key]
    path = stored_file("sst", sea.file)
    if path.suffix == ".csv":
        table = np.loadtxt(path, delimiter=",", comments="#", skiprows=_header(path))
        return table[:, 0], table[:, 1:2], np.ones(1)
    data = read_snapshots(path).in_celsius()
    years = data.ts / (86400.0 * _YEAR)
    return years, data.flat().astype(np.float64), data.weights()


def _header(path: Any) -> int:
    """Lines before the first number."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(i for i, line in enumerate(lines) if line.strip()[:1].isdigit())


def _windows(rows: np.ndarray, delays: int) -> np.ndarray:
    """Row t: the snapshots up to t, oldest first; the first `delays - 1` repeat."""
    padded = np.concatenate([np.repeat(rows[:1], delays - 1, axis=0), rows])
    return delay_windows(padded, delays)


def _forecasts(
    run: Run, key: str, years: np.ndarray, rows: np.ndarray
) -> dict[str, Callable[[np.ndarray, int], np.ndarray]]:
    """Of every method: fields `h` steps after snapshots `at`."""
    sea, s = _SEAS[key], run.settings
    train, far = sea.train, max(sea.horizons)
    season = climatology(years[:train], rows[:train], period=1.0).at(years)
    anomaly = rows - season
    known = anomaly[:train]
    damping = np.sum(known[1:] * known[:-1]) / np.sum(known[:-1] ** 2)
    dmd = HankelDMD(max(sea.delays, 2), 4).fit(known, dt=1.0)
    seen = _windows(anomaly, sea.delays).astype(np.float32)
    begin = sea.delays - 1
    rank = min(10, train - 2) if seen.shape[1] > 200 else None
    codec = FieldCodec.fit(seen[begin:train], centred=False, rank=rank)
    steps = min(14, train // 4)
    turning = trained_latent(
        run,
        f"sst_{key}_rotation",
        latent_linear(codec.size, (), sea.n, key=jax.random.key(0)),
        seen[begin:train],
        codec,
        LatentFitConfig(steps=sea.steps, updates=s["updates"], lr=3e-3),
    )
    plain = FieldCodec.fit(rows[:train], rank=rank, scaling="range")
    koopman = trained_latent(
        run,
        f"sst_{key}_koopman",
        latent_linear(
            plain.size,
            (96, 96),
            12,
            "dense",
            consistent="inverse",
            last="tanh" if rank is None else None,
            key=jax.random.key(0),
        ),
        rows[:train].astype(np.float32),
        plain,
        LatentFitConfig.published(
            "koopman",
            steps=steps,
            identity=float(steps),
            consistency=0.1,
            batch=64,
            updates=s["updates"],
        ),
    )
    width = rows.shape[1]
    turned = turning.predict(seen[train - 1 :], far)[..., -width:]
    moved = koopman.predict(rows[train - 1 :].astype(np.float32), far)
    past = np.arange(train - 1, len(rows))[:, None] + np.arange(1 - dmd.delays, 1)
    decomposed = dmd.predict(anomaly[past], far)
    at = lambda array, t, h: array[t - (train - 1), h - 1]
    return {
        "persistence": lambda t, h: rows[t],
        "climatology": lambda t, h: season[t + h],
        "damped": lambda t, h: season[t + h] + damping**h * anomaly[t],
        "dmd": lambda t, h: season[t + h] + at(decomposed, t, h),
        "rotation": lambda t, h: season[t + h] + at(turned, t, h),
        "koopman": lambda t, h: at(moved, t, h),
    }


@latent.part("sst", tuple(_rows()), full={"updates": 3000}, quick={"updates": 20})
def sst(run: Run) -> Iterator[Claim]:
    """A set after the other; the season and all scales are those of training years."""
    curves = {}
    for key, sea in _SEAS.items():
        years, rows, weights = _opened(key)
        forecasts = _forecasts(run, key, years, rows)
        starts = np.arange(sea.train - 1, len(rows) - 1)

        def error(
            name: str,
            h: int,
            rows: np.ndarray = rows,
            weights: np.ndarray = weights,
            starts: np.ndarray = starts,
            forecasts: Any = forecasts,
        ) -> float:
            t = starts[starts + h < len(rows)]
            found = forecasts[name](t, h)
            return float(relative_errors(found, rows[t + h], weights).mean())

        for h in sea.horizons:
            found = {name: error(name, h) for name in _NAMES}
            for name, value in found.items():
                row = run.row(f"latent.sst.{key}_{h}_{name}")
                yield row.measured(value, n=int(np.sum(starts + h < len(rows))))
            least = min(found["persistence"], found["climatology"])
            ratio = found["rotation"] / least
            yield run.row(f"latent.sst.{key}_{h}_useful").measured(ratio)
        every = np.unique(np.linspace(1, max(sea.horizons), 30).astype(int))
        curves[key] = (
            every,
            {name: [error(name, int(h)) for h in every] for name in _NAMES},
        )
    with sheet(run.figures / "sst.svg", (9.0, 3.0), (1, len(curves)), 8.0) as (_, axes):
        for ax, (key, (every, lines)) in zip(axes, curves.items(), strict=True):
            for colour, (name, line) in zip(COLOURS, lines.items(), strict=True):
                ax.plot(every, line, color=colour, lw=1.0, label=name)
            ax.set_title(key, size=8)
            ax.set_xlabel(f"{_SEAS[key].unit} ahead")
            top = 2.5 * max(lines["climatology"])
            ax.set_ylim(0, top)
        axes[0].set_ylabel("relative error")
        axes[0].legend(frameon=False, ncols=2, loc="lower right")
