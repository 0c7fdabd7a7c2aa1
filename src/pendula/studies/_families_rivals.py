"""Parts `rivals` and `selkov_time` of study `families`: what others report on the
few-shot benchmark, and how Selkov's error falls with the time of training."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ._claim import Claim
from ._families import families
from ._families_stiff import SELKOV, SELKOV_FULL
from ._few_shot import gen_dynamics, measured_few_shot
from ._figures import COLOURS, figure
from ._row import Row
from ._study import Run


# system, rival, in-domain, new systems, what it took, where it stands
_QUOTED: tuple[tuple[str, str, float, float, str, str], ...] = (
    ("lotka", "coda", 1.40e-5, 2.19e-5, "", "CoDA, in NCF's tables (from memory)"),
    ("lotka", "ncf", 1.68e-5, 1.99e-5, "", "NCF-t2, its paper (from memory)"),
    ("lotka", "ncf_log", 3.7e-5, 5.2e-5, "2 h 04 on a GPU", "public logs of NCF"),
    ("lotka", "coda_core", 6.6e-4, 8.8e-4, "78 s on one core, still falling",
     "CoDA's own code, run for the specification"),
    ("lotka", "ncf_core", 1.4e-1, 1.5e-1, "618 s on one core",
     "NCF's own code (t1), run for the specification"),
    ("selkov", "coda", 1.56e-2, 8.28e-3, "", "public logs of NCF; reviews of NCF"),
    ("selkov", "ncf", 6.4e-4, 2.03e-3, "1 h 21 on a GPU",
     "public logs of NCF; reviews of NCF"),
    ("glycolytic", "coda", 5.06e-4, 4.22e-4, "",
     "CoDA, in NCF's tables (from memory)"),
    ("glycolytic", "ncf", 3.33e-4, 2.83e-4, "", "NCF-t2, its paper"),
    ("glycolytic", "ncf_log", 5.91e-4, 5.90e-4, "5 h 42 on a GPU",
     "public logs of NCF"),
    ("pendulum", "ncf", 1.03e-2, 3.6e-5,
     "1 h 09 on a GPU, on another set of 25 pendulums", "public logs of NCF (t1)"),
)  # fmt: skip
_TITLES = {
    "lotka": "Lotka-Volterra",
    "selkov": "Selkov",
    "glycolytic": "Glycolytic oscillator",
    "pendulum": "Pendulum",
}


def _quotes() -> Iterator[tuple[Row, float]]:
    """Rows of the rivals and what they hold."""
    for system, rival, inside, new, took, where in _QUOTED:
        time = f"; {took}" if took else ""
        for key, value, what in (
            ("in", inside, "unseen starts of the training systems"),
            ("ood", new, "new systems"),
        ):
            text = f"{_TITLES[system]}, {what}: quoted, not measured here{time}."
            name = f"families.F.{system}_rival_{rival}_{key}"
            yield Row(name, text, source=where, published=value), value


@families.part(
    "rivals", [row for row, _ in _quotes()], full={"quoted": 1}, quick={"quoted": 0}
)
def rivals(run: Run) -> Iterator[Claim]:
    """The figures of others, beside ours in the ledger."""
    for row, value in _quotes():
        yield run.row(row.id).measured(value)


_STEPS = (10, 20, 40, 80, 150)
_S = "families.F.selkov_after"
_TIME_ROWS = [
    Row(f"{_S}_{steps}_{key}", text.format(steps), unit)
    for steps in _STEPS
    for key, text, unit in (
        ("cpu", "Selkov, {} iterations a stage, seed 0: processor time.", "s"),
        ("in", "Unseen starts of the training systems, after {} iterations.", "1"),
        ("ood", "New systems, after {} iterations a stage.", "1"),
    )
]
_FULL: dict[str, Any] = copy.deepcopy(SELKOV_FULL) | {"seed": 0}
_QUICK: dict[str, Any] = copy.deepcopy(_FULL)
_QUICK["config"] |= {"restarts": 1}
_QUICK["config"]["model"] |= {"width": 4, "depth": 1, "substeps": 2}
_QUICK["scale"] = 10


@families.part("selkov_time", _TIME_ROWS, full=_FULL, quick=_QUICK)
def selkov_time(run: Run) -> Iterator[Claim]:
    """Trainings that stop earlier, the rows, and the curve."""
    folder = gen_dynamics(SELKOV.folder)
    found = [
        run.keep(f"steps_{n}", lambda n=n: stopped(run.settings, n, folder))
        for n in _STEPS
    ]
    time_curve(run.figures / "selkov_time.svg", found)
    for n, one in zip(_STEPS, found, strict=True):
        for key, name in (("cpu", "train_cpu"), ("in", "in_mse"), ("ood", "ood_mse")):
            yield run.row(f"{_S}_{n}_{key}").measured(float(one[name]))


def stopped(settings: dict[str, Any], steps: int, folder: Path) -> dict[str, Any]:
    """A training of that many iterations a stage, compiled anew."""
    import jax

    jax.clear_caches()
    own = copy.deepcopy(settings)
    own["config"]["steps"] = max(1, steps // settings.get("scale", 1))
    out = measured_few_shot(SELKOV, own, settings["seed"], folder)
    return {key: out[key] for key in ("train_cpu", "in_mse", "ood_mse", "floor_mse")}


def time_curve(path: Path, found: list[dict[str, Any]]) -> None:
    """Errors over processor time, with the floor of the data."""
    over = [float(f["train_cpu"]) for f in found]
    with figure(path, 1, 3.6) as (ax,):
        for key, name, colour in (
            ("in_mse", "unseen starts", COLOURS[0]),
            ("ood_mse", "new systems", COLOURS[1]),
        ):
            errors = [float(f[key]) for f in found]
            ax.loglog(over, errors, "o-", color=colour, markersize=4, label=name)
        floor = float(np.mean([f["floor_mse"] for f in found]))
        ax.axhline(floor, color=COLOURS[4], linestyle="--", label="floor of the data")
        ax.set_xlabel("processor time of training, s")
        ax.set_ylabel("mean squared error")
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
