"""Part `esnn` of study `analog`: the Slinky's energy network on noisy devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..dynamics import slinky_network, slinky_record
from ..hardware import (
    ForecastError,
    HardenConfig,
    NoiseReport,
    RangeNoise,
    harden,
    monte_carlo,
    to_analog,
)
from ..solve import LEAPFROG
from ._analog import analog
from ._analog_dynamics import LEVELS, draw_forecasts, forecast_rows, once
from ._claim import Claim
from ._slinky_cases import CASES, FRAME
from ._study import Run


_WAYS = {
    "fitted": "as kept with the package",
    "plain": "trained further, plain",
    "ha": "trained further by HA-SGD at 0.05 with clipping",
}
_HOW = (
    "ESNN of 76 bars, case 0, forecasts of 1.5 s of which it learned "
    "from 0.7 s, on 50 chips"
)
_TRIED = (
    "Clips of 5 to 20 samples of the record that it learned from, 4 an update, L = 1, "
    "weights cut off at 2.5 standard deviations; plain: the same updates without noise "
    "and clipping."
)


@analog.part(
    "esnn",
    tuple(forecast_rows("esnn", _WAYS, _HOW, _TRIED, ", at most 10")),
    full={"steps": 200, "chips": 50, "seconds": 1.5, "batch": 4, "longest": 20},
    quick={"steps": 1, "chips": 2, "seconds": 0.05, "batch": 1, "longest": 5},
)
def esnn(run: Run) -> Iterator[Claim]:
    """The network as it is, trained further in two ways, on chips."""
    s = run.settings
    record = slinky_record()
    if s["seconds"] > record.ts[0][-1]:
        kept = run.keep("truth", lambda: {"ys": _motion(s["seconds"])})
        ys = kept["ys"].astype(np.float32)
        ts = FRAME * np.arange(ys.shape[1])
    else:
        count = 1 + round(s["seconds"] / FRAME)
        ys, ts = record.ys[:, :count].astype(np.float32), record.ts[0][:count]
    error = ForecastError.of(ys, ts, scheme=LEAPFROG, substeps=5)
    first = slinky_network().model()
    twin = to_analog(first, RangeNoise())
    more: dict[str, Any] = {
        "steps": s["steps"],
        "batch": s["batch"],
        "longest": s["longest"],
        "substeps": 5,
    }
    models = {"fitted": first}
    for way, config in (
        ("plain", HardenConfig(level=0.0, clip=None, **more)),
        ("ha", HardenConfig(level=0.05, clip=2.5, **more)),
    ):
        run.progress(f"esnn: {way}")
        models[way] = once(
            run.scratch / f"{way}.safetensors",
            lambda config=config: harden(
                first, record.ys, record.ts[0], twin, config, scheme=LEAPFROG
            ),
        )
    reports: dict[str, NoiseReport] = {}
    for way, model in models.items():
        run.progress(f"esnn: chips, {way}")
        mine = to_analog(model, RangeNoise())
        key = jax.random.key(0)
        found = monte_carlo(mine, error, jnp.asarray(ys), key, s["chips"], LEVELS)
        reports[way] = found
        for level, values in zip(LEVELS, found.values, strict=True):
            name = f"analog.esnn.{way}_{round(100 * level)}"
            yield run.row(name).measured(float(np.median(values)), n=s["chips"])
    for k, percent in ((1, 2), (2, 5), (3, 10)):
        ratio = np.median(reports["ha"].values[k]) / np.median(
            reports["plain"].values[k]
        )
        row = run.row(f"analog.esnn.ratio_{percent}")
        yield row.measured(float(ratio), n=s["chips"])
    draw_forecasts(run, "esnn", _WAYS, reports)


def _motion(seconds: float) -> np.ndarray:
    """The rod's, from where the record begins and beyond its end."""
    return dataclasses.replace(CASES[0], seconds=seconds).record(FRAME).ys
