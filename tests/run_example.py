"""A run folder made without training: a damped swing, its forecast, its scores."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from pendula.data import Trajectories, summary


def trajectories() -> Trajectories:
    """The record that the run was made from."""
    made = arrays()
    ys = np.where(made["data/mask"], made["data/ys"], np.nan)
    return Trajectories.from_arrays(
        made["data/ts"],
        ys,
        names=("theta",),
        units=("rad",),
        angle=(True,),
        origin={"files": [{"path": "swing.csv", "rows": 1800, "sha256": "f52f4fbe"}]},
    )


def arrays() -> dict[str, np.ndarray]:
    """All arrays that a fit of one channel can leave."""
    rng = np.random.default_rng(0)
    swing = lambda t: 1.2 * np.exp(-0.03 * t) * np.cos(8 * t)
    t = np.linspace(0.0, 20.0, 1800)
    ts = np.linspace(15.0, 20.0, 500)
    mask = rng.random((t.size, 1)) > 0.02
    error = 0.002 + 0.004 * (ts - 15.0)
    horizon = np.linspace(0.05, 5.0, 80)
    mean = swing(ts) + error * np.sin(8 * ts)
    return {
        "data/ts": t,
        "data/ys": (swing(t) + 0.004 * rng.normal(size=t.size))[:, None],
        "data/mask": mask,
        "data/split_time": np.array(15.0),
        "loss/step": np.array([100.0, 200, 300, 50, 100, 150]),
        "loss/train": np.array([1.0, 0.5, 0.3, 0.2, 0.1, 0.08]),
        "loss/validation": np.array([np.nan, np.nan, np.nan, 0.25, 0.14, 0.12]),
        "forecast/ts": ts,
        "forecast/truth": swing(ts)[:, None],
        "forecast/mean": mean[:, None],
        "forecast/low": (mean - 2 * error)[:, None],
        "forecast/high": (mean + 2 * error)[:, None],
        "forecast/trusted_to": np.array(18.5),
        "forecast/baseline_persistence": np.full((ts.size, 1), swing(15.0)),
        "forecast/baseline_linear": (0.9 * swing(ts - 0.02))[:, None],
        "growth/horizon": horizon,
        "growth/model_median": 0.002 + 0.004 * horizon,
        "growth/model_low": 0.001 + 0.002 * horizon,
        "growth/model_high": 0.004 + 0.008 * horizon,
        "growth/baseline_persistence": 0.8 * (1 - np.exp(-9 * horizon)),
        "growth/baseline_linear": 0.02 + 0.1 * horizon,
        "coverage/horizon": np.linspace(0.6, 5.0, 8),
        "coverage/share": np.array([0.91, 0.9, 0.88, 0.92, 0.9, 0.87, 0.86, 0.7]),
        "coverage/count": np.full(8, 240),
        "halving/horizon": horizon,
        "halving/ratio": 0.002 + 0.001 * horizon,
        "energy/ts": ts,
        "energy/value": 46.0 * np.exp(-0.06 * (ts - 15)),
        "constants/correlation": np.array(
            [[1.0, 0.12, -0.08], [0.12, 1.0, 0.97], [-0.08, 0.97, 1.0]]
        ),
        "slot/x": np.linspace(-8, 8, 41),
        "slot/visited": rng.integers(3, 60, 40).astype(float),
    }


def some(*prefixes: str) -> dict[str, np.ndarray]:
    """Only the arrays whose names begin so: fewer figures, a quicker page."""
    return {k: v for k, v in arrays().items() if k.startswith(prefixes)}


def report() -> dict[str, Any]:
    """A complete report, as report.json holds it."""
    constant = {
        "law": "gravity_pendulum",
        "on": "theta",
        "confounded": False,
        "note": "",
    }
    damping = {"on": "theta", "confounded": True, "note": "correlation 0.97 with f"}
    phase = {"clips": 120, "seconds": 4.2, "reason": "done"}
    return {
        "format": 1,
        "kind": "fit",
        "title": "swing.csv: theta",
        "data": summary(trajectories()),
        "decisions": [
            {
                "what": "time",
                "choice": "column t",
                "why": "named one of t, time, day, year, date",
                "option": "--time NAME",
            },
            {
                "what": "validation",
                "choice": "the last 25 % in time",
                "why": "held out from training, for scores and intervals",
                "option": "--validation",
            },
        ],
        "model": {
            "equation": "theta'' = -w2 sin(theta - zero) - c theta' + network(theta)",
            "terms": ["gravity_pendulum on theta", "viscous on theta", "learned force"],
            "parameters": 357,
            "members": 5,
            "state": ["theta", "dtheta/dt"],
        },
        "constants": [
            {
                **constant,
                "name": "w2",
                "value": 64.04,
                "low": 63.9,
                "high": 64.2,
                "unit": "1/s2",
            },
            {
                **damping,
                "name": "c",
                "law": "viscous",
                "value": 0.0552,
                "low": 0.01,
                "high": 0.1,
                "unit": "1/s",
            },
            {
                **damping,
                "name": "f",
                "law": "coulomb",
                "value": 0.2,
                "low": 0.02,
                "high": 0.41,
                "unit": "rad/s2",
            },
        ],
        "training": {
            "phases": [
                {
                    **phase,
                    "name": "rates",
                    "steps": 300,
                    "clip": 1,
                    "loss": 0.3,
                    "validation": None,
                },
                {
                    **phase,
                    "name": "windows of 64",
                    "steps": 150,
                    "clip": 64,
                    "loss": 0.08,
                    "validation": 0.12,
                    "reason": "converged at step 150",
                },
            ],
            "seconds": {"import": 1.9, "compile": 14.2, "run": 21.7},
        },
        "scores": {
            "headline": {
                "text": "root mean square error of theta, free run of 5 s",
                "value": 0.01234,
                "low": 0.0098,
                "high": 0.0166,
                "unit": "rad",
            },
            "baselines": [
                {"name": "linear", "rmse": 0.152, "ratio": 0.081},
                {"name": "persistence", "rmse": 0.713, "ratio": 0.0173},
            ],
            "validation": {
                "horizon": [2.5, 5.0],
                "median": [0.012, 0.02],
                "unit": "rad",
            },
        },
        "verdict": {
            "trust": True,
            "trust_to": 3.5,
            "unit": "s",
            "reasons": [
                "Beyond 3.5 s the coverage of the 90 % band is 70 %, under 75 %."
            ],
            "text": "Trust forecasts up to 3.5 s ahead: there the median error stays "
            "below every baseline and below 20 % of the signal's spread.",
        },
        "behaviour": None,  # as in runs that were not asked what their law does
        "findings": [
            {
                "id": "verdict.halving",
                "statement": "Change of the forecast when the step is halved",
                "value": 0.004,
                "unit": "1",
                "spread": [0.001, 0.007],
                "comparison": "limit 0.1",
                "verdict": "good",
                "reasons": [],
            }
        ],
        "reproduce": {
            "command": "pendula fit swing.csv --known gravity_pendulum --free w2",
            "config": {"seed": 0, "model": {"learn": "force"}, "train": {"members": 5}},
            "versions": {"pendula": "0.1.0", "jax": "0.10.2"},
            "seed": 0,
            "platform": "Linux",
            "device": "cpu",
            "cpus": 2,
            "revision": None,
            "citations": ["Rice1984"],
        },
    }


def metrics() -> list[dict[str, Any]]:
    """The log of a training of two phases and two members."""
    rows = []
    for phase, last, step in (("rates", 300, 50), ("windows of 64", 150, 10)):
        for k in range(step, last + 1, step):
            loss = [np.exp(-k / last) * f for f in (1.0, 1.2)]
            row = {
                "phase": phase,
                "step": k,
                "loss": loss,
                "damping": [0.1 / k, 0.2 / k],
            }
            if phase != "rates":
                row["validation"] = [1.3 * v for v in loss]
            rows.append(row)
    return rows


def write(folder: Path, **changes: Any) -> Path:
    """The run folder; `changes` replace parts: report, arrays, metrics."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(changes.get("report", report()))
    (folder / "report.json").write_text(text, encoding="utf-8")
    np.savez(folder / "arrays.npz", **changes.get("arrays", arrays()))
    rows = "".join(json.dumps(row) + "\n" for row in changes.get("metrics", metrics()))
    (folder / "metrics.jsonl").write_text(rows, encoding="utf-8")
    return folder


def fitted(folder: Path, **changes: Any) -> Any:
    """What `write_run` needs of a finished fit."""
    save = lambda path: (folder / Path(path).name).write_bytes(b"weights")
    return SimpleNamespace(
        **{"report": report(), "arrays": arrays(), "save": save, **changes}
    )


def write_demo(folder: Path) -> Path:
    """A comparison of two fits: one that keeps up with the truth, one that loses
    it."""
    rng = np.random.default_rng(2)
    ts = np.linspace(2.0, 12.0, 300)
    truth = 2.2 * np.cos(2.6 * ts) * np.exp(-0.05 * ts)
    begin = np.linspace(0.0, 2.0, 40)
    measured = 2.2 * np.cos(2.6 * begin) * np.exp(-0.05 * begin)
    curves: dict[str, np.ndarray] = {
        "data/ts": np.tile(np.linspace(0, 8, 80), (6, 1)),
        "data/ys": rng.normal(size=(6, 80)),
        "truth/ts": ts,
        "truth/ys": truth[:, None],
        "beginning/ts": begin,
        "beginning/ys": (measured + 0.02 * rng.normal(size=40))[:, None],
        "baseline/persistence": np.full((300, 1), measured[-1]),
    }
    fits = []
    for name, drift, wide in (("with_physics", 0.02, 0.01), ("without", 0.8, 0.3)):
        mean = truth + drift * (ts - 2.0) * np.sin(ts)
        half = 0.05 + wide * (ts - 2.0)
        curves |= {
            f"{name}/ts": ts,
            f"{name}/mean": mean[:, None],
            f"{name}/truth": truth[:, None],
            f"{name}/low": (mean - half)[:, None],
            f"{name}/high": (mean + half)[:, None],
            f"{name}/trusted_to": np.array(8.0),
        }
        fits.append(
            {
                "name": name,
                "label": name.replace("_", " "),
                "folder": name,
                "model": "theta'' = ...",
                "parameters": 12,
                "seconds": 3.0,
                "trust": True,
                "status": "ok",
                "start": 2.0,
                "until": 12.0,
                "trusted_to": 12.0,
                "narrow_to": 12.0 if name == "with_physics" else 3.1,
                "outside": 0.6,
                "rmse": drift,
                "coverage": 0.9,
            }
        )
        write(folder / name, arrays={}, metrics=[])
    text = {
        **report(),
        "kind": "demo",
        "title": "A swing wider than any in training",
        "asked": "Six records were made, and a wide swing forecast.",
        "fits": fits,
        "test": {"unit": "rad", "trained": [-1.0, 1.0]},
        "baselines": [{"name": "persistence", "rmse": 1.7}],
    }
    return write(folder, report=text, arrays=curves, metrics=[])
