"""`pendula demo`: the main job end to end, on data it makes itself."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .._errors import ConfigError
from ._console import Console, command
from ._open import open_page
from ._options import TALK, Talk, whole


if TYPE_CHECKING:
    from ..data import Trajectories
    from ..dynamics import FitConfig, Fitted, Forecast

# What is made: six records of a pendulum 1 m long, released at up to 1 rad.
CONSTANTS = {"length": 1.0, "gravity": 9.81, "damping": 0.08}
STARTS = ((0.4, 0.0), (-0.6, 0.5), (0.8, 0.0), (-1.0, 0.0), (0.3, 1.5), (0.9, -0.5))
RECORD = {"duration": 18.0, "dt": 0.1, "noise": 0.02, "irregular": 0.5}
# What is asked: a swing almost twice as wide, watched for a period and a half.
WIDE = (1.8, 0.0)
WATCHED, UNTIL = 3.0, 11.0

LABELS = {"with_physics": "with physics", "without_physics": "without physics"}


def demo(
    *,
    out: Annotated[
        Path, Parameter(name=["--out", "-o"], help="The folder of the demonstration.")
    ] = Path("runs/demo"),
    seed: Annotated[
        int, Parameter(converter=whole, help="Of the noise and the fits.")
    ] = 0,
    open_: Annotated[
        bool, Parameter(name="--open", help="Open the page where there is a display.")
    ] = False,
    talk: Talk = TALK,
) -> int:
    """Six noisy, irregularly sampled records of a damped pendulum are made and
    fitted twice, with and without physics; both forecast a swing wider than any of
    the records; the page says which to trust, and why."""
    console = Console(talk)
    began = time.monotonic()
    console.say("making six noisy records of a damped pendulum")
    _clear(out)
    records, test, truth = _worlds(seed)
    from ..data import write

    out.mkdir(parents=True, exist_ok=True)
    console.log = out / "log.txt"
    write(records, out / "records.csv")
    write(test, out / "wide_swing.csv")
    arrays = _record_arrays(records, test, truth)
    fits = []
    for name, config in _configs(seed).items():
        console.say(f"fitting {LABELS[name]}")
        fit, curves = _one(name, config, records, test, truth, out, console)
        fits.append(fit)
        arrays |= curves
    arrays["baseline/persistence"] = _persistence(test, arrays["truth/ys"])
    report = _report(records, truth, fits, arrays, seed, time.monotonic() - began)
    console.say("writing the page")
    from ..report import choice_of, read_run, write_numbers

    page = write_numbers(out, report, arrays)
    choice = choice_of(read_run(out))
    lines = [choice.text, *(f"  {reason}" for reason in choice.reasons)]
    lines += [f"{time.monotonic() - began:.0f} s", f"page: {page}"]
    found = {"trust": choice.name, "text": choice.text, "fits": fits, "page": str(page)}
    console.result("\n".join(lines), found)
    if open_ or not talk.json:
        open_page(page)
    return 0


def _clear(out: Path) -> None:
    """A demonstration replaces an earlier one, and nothing else."""
    if not out.exists():
        return
    inside = {path.name for path in out.iterdir()} if out.is_dir() else {"?"}
    own = {*LABELS, "records.csv", "wide_swing.csv", "arrays.npz", "report.json"}
    own |= {"report.html", "log.txt"}
    if inside - own:
        raise ConfigError(
            f"--out {out}: it holds other things than a demonstration. Choose another."
        )
    shutil.rmtree(out)


def _worlds(seed: int) -> tuple[Trajectories, Trajectories, Trajectories]:
    """The records, the wide swing as it is measured, and the truth behind it."""
    import numpy as np

    from ..systems import simulate, system

    world = system("pendulum", **CONSTANTS)
    seen = {**RECORD, "observe": "theta"}
    records = simulate(world, num=len(STARTS), y0=np.array(STARTS), seed=seed, **seen)
    wide = {**seen, "duration": UNTIL, "y0": np.array(WIDE), "seed": seed + 1}
    return records, simulate(world, **wide), simulate(world, **{**wide, "noise": 0.0})


def _configs(seed: int) -> dict[str, FitConfig]:
    """Physics: a pendulum with viscous damping, both constants unknown. Without: a
    network gives the acceleration."""
    from ..dynamics import FitConfig, from_dict

    small = bool(os.environ.get("PENDULA_SMALL"))
    train = {"members": 1, "steps": 3} if small else {"steps": 20}
    gravity = {"term": "gravity_pendulum", "free": ["w2"], "constants": {"zero": 0.0}}
    damping = {"term": "viscous", "free": ["c"], "constants": {"c": 0.1}}
    known = [{**law, "on": ["theta"]} for law in (gravity, damping)]
    models: dict[str, dict[str, Any]] = {
        "with_physics": {"known": known, "learn": "none"},
        "without_physics": {"learn": "force", "width": 8, "depth": 2},
    }
    return {
        name: from_dict({"model": model, "train": train, "seed": seed}, FitConfig)
        for name, model in models.items()
    }


def _one(
    name: str,
    config: FitConfig,
    records: Trajectories,
    test: Trajectories,
    truth: Trajectories,
    out: Path,
    console: Console,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fit once, forecast the wide swing; its line in the report, and its curves."""
    from ..dynamics import continuity, fit
    from ..report import with_continuity, write_run
    from ._words import verdict_lines

    began = time.monotonic()
    with console.training() as tell:
        fitted = fit(
            None, records, config, out=out / name, tell=tell, command=command()
        )
    found = continuity(fitted)
    report, arrays = with_continuity(fitted.report or {}, fitted.arrays or {}, found)
    fitted = dataclasses.replace(fitted, report=report, arrays=arrays)
    write_run(out / name, fitted, command())
    console.detail(f"  {found.text}")
    for line in verdict_lines(fitted.report or {}):
        console.detail(f"  {line}")
    forecast = fitted.forecast(test, start=WATCHED)
    line = _judged(name, fitted, forecast, truth)
    line["continuity"] = {"verdict": found.verdict, "gap": found.gap}
    line["seconds"] = round(time.monotonic() - began, 1)
    curves = {
        "ts": forecast.ts,
        "mean": forecast.mean,
        "low": forecast.low,
        "high": forecast.high,
        "truth": _at(truth, forecast.ts),
        "outside": forecast.outside,
        "trusted_to": line["trusted_to"],
    }
    return line, {f"{name}/{k}": v for k, v in curves.items()}


def _judged(
    name: str, fitted: Fitted, forecast: Forecast, truth: Trajectories
) -> dict[str, Any]:
    """What is said of a forecast: first without the truth, then with it."""
    import numpy as np

    from .._errors import Status
    from ..report import narrow_to

    report = fitted.report or {}
    true = _at(truth, forecast.ts)
    inside = (forecast.low <= true) & (true <= forecast.high)
    spread = float(np.nanstd(forecast.mean)) or 1.0
    learns = fitted.about["config"]["model"]["learn"] != "none"
    model, verdict = report.get("model") or {}, report.get("verdict") or {}
    return {
        "name": name,
        "label": LABELS[name],
        "folder": name,
        "model": model.get("equation"),
        "parameters": model.get("parameters"),
        "trust": bool(verdict.get("trust")),
        "trusted_to": forecast.start + (verdict.get("trust_to") or 0.0),
        "status": Status(int(forecast.status.max())).name,
        "start": forecast.start,
        "until": float(forecast.ts[-1]),
        "narrow_to": narrow_to(forecast.ts, forecast.low, forecast.high, spread),
        # without a learned part there is no range to leave
        "outside": float(forecast.outside.mean()) if learns else None,
        "rmse": float(np.sqrt(np.mean((forecast.mean - true) ** 2))),
        "coverage": float(inside.mean()),
    }


def _at(truth: Trajectories, ts: Any) -> Any:
    """The exact motion at the times of a forecast (all of them were sampled)."""
    import numpy as np

    n = int(truth.lengths[0])
    index = np.searchsorted(truth.ts[0, :n], ts - 1e-9)
    return truth.ys[0, index]


def _record_arrays(
    records: Trajectories, test: Trajectories, truth: Trajectories
) -> dict[str, Any]:
    """The records, the measured beginning, and the truth after it."""
    import numpy as np

    ts, n = truth.ts[0], int((test.ts[0] <= WATCHED).sum())
    return {
        "data/ts": records.ts,
        "data/ys": np.where(records.mask, records.ys, np.nan)[:, :, 0],
        "beginning/ts": test.ts[0, :n],
        "beginning/ys": np.where(test.mask, test.ys, np.nan)[0, :n],
        "truth/ts": ts[n:],
        "truth/ys": truth.ys[0, n:],
    }


def _persistence(test: Trajectories, truth: Any) -> Any:
    """The last measured value, held."""
    import numpy as np

    last = test.ys[0, test.ts[0] <= WATCHED][-1]
    return np.broadcast_to(last, truth.shape).copy()


def _report(
    records: Trajectories,
    truth: Trajectories,
    fits: list[dict[str, Any]],
    arrays: dict[str, Any],
    seed: int,
    seconds: float,
) -> dict[str, Any]:
    """The report of the comparison, as the page reads it."""
    import numpy as np

    from .._machine import cores, revision, versions
    from ..data import summary

    persistence = arrays["baseline/persistence"] - arrays["truth/ys"]
    seen = np.where(records.mask, records.ys, np.nan)
    reach = float(np.nanmax(np.abs(seen)))
    wide = float(np.abs(truth.ys).max())
    return {
        "format": 1,
        "kind": "demo",
        "title": "A damped pendulum, fitted with and without physics",
        "asked": f"{records.num} records of a damped pendulum, noise "
        f"{RECORD['noise']} rad, uneven sampling, swings up to {reach:.2g} rad. "
        f"Forecast: a swing of {wide:.2g} rad, watched for {WATCHED:g} s.",
        "data": summary(records),
        "fits": fits,
        "test": {"unit": "rad", "trained": [-reach, reach], "wide": wide},
        "baselines": [
            {"name": "persistence", "rmse": float(np.sqrt(np.mean(persistence**2)))}
        ],
        "reproduce": {
            "command": command(),
            "seed": seed,
            "platform": platform.platform(),
            "device": "cpu" if "jax" not in sys.modules else _device(),
            "cpus": cores(),
            "revision": revision(),
            "versions": versions(),
            "seconds": round(seconds, 1),
        },
    }


def _device() -> str:
    import jax

    return jax.devices()[0].device_kind
