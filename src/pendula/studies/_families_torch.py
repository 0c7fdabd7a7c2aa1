"""Part `vs_torch` of study `families`: the published pendulum beside PyTorch."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .._files import replacing
from ._benchmarks import benchmarks, printed
from ._claim import Claim
from ._families import PENDULUM, families
from ._families_motion import LENGTHS
from ._families_reference import START
from ._row import Row
from ._study import Run


PEER = "torchdiffeq 0.2.5, torch 2.13.0"
_G = "families.G"
_CPU = "processor time, each side at its best of 1 and 2 threads"
_RK4 = "RK4 of 0.1 s and a cubic to the samples"
_THESIS = "dopri5 at 1e-4, as published"
_DEFAULT = (
    "Pendula's Gauss-Newton on single sampling intervals (affine head, an even energy "
    "of one layer of 16)"
)
_TRIED = (
    "One program an update: clips and pendulums in one product, inner steps scanned "
    "with the slope of eta by forward mode, one gradient for all pendulums, both signs "
    "of the even energy in one pass."
)
_TRIED_RUN = (
    "Compiling is most of a run of ours. With longer clips after the single intervals "
    "(two layers of 16, three programs) E5 is 3e-6, and a run was 1.6 times faster. "
    "The stages of the Runge-Kutta step in a loop: an iteration took 1.8 times as "
    "long. Fewer passes of the compiler (LLVM's expensive ones left out): no gain."
)


def _ratio(
    name: str,
    statement: str,
    target: float,
    goal: float | None = None,
    tried: str = _TRIED,
) -> Row:
    return Row(
        f"{_G}.{name}",
        statement,
        better="higher",
        target=target,
        goal=goal,
        source=PEER,
        tried=tried,
    )


_ROWS = (
    _ratio(
        "update_same",
        f"One outer update of the published pendulum, PyTorch over Pendula's mode "
        f"`reference`, both by {_RK4}; {_CPU}.",
        3,
    ),
    _ratio(
        "update_default",
        f"One update, PyTorch by {_THESIS}, over one of {_DEFAULT}, whose median E5 on "
        f"8 unseen lengths is at most that of PyTorch; {_CPU}.",
        6,
        15,
        "Gauss-Newton on weights and etas, Jacobians chained from single intervals. "
        "With longer clips and two layers, as in the part `pendulum`: 2.8, E5 3e-6.",
    ),
    _ratio(
        "run",
        "The same for the whole run: from the start of the process to the trained "
        "model, import and compilation included.",
        4,
        8,
        _TRIED_RUN,
    ),
    Row(
        f"{_G}.compile_cpu",
        "Processor time of a `reference` training that is neither import nor updates: "
        "preparation and compilation.",
        "s",
        target=25,
        tried=_TRIED,
    ),
    Row(f"{_G}.compile_default_cpu", f"The same of {_DEFAULT}.", "s"),
    Row(f"{_G}.update_reference_cpu", f"One `reference` update, {_RK4}.", "s"),
    Row(f"{_G}.update_default_cpu", f"One update of {_DEFAULT}.", "s"),
    Row(f"{_G}.update_rk4_cpu", f"PyTorch: one update, {_RK4}.", "s", source=PEER),
    Row(f"{_G}.update_torch_cpu", f"PyTorch: one update, {_THESIS}.", "s", source=PEER),
    Row(f"{_G}.run_reference_cpu", "Whole `reference` run of 200 updates.", "s"),
    Row(f"{_G}.run_default_cpu", f"Whole run of {_DEFAULT}.", "s"),
    Row(
        f"{_G}.run_torch_cpu",
        f"PyTorch: whole run of 200 updates, {_THESIS}.",
        "s",
        source=PEER,
    ),
    Row(f"{_G}.e5_reference", "Median E5 on 8 unseen lengths, mode `reference`."),
    Row(f"{_G}.e5_default", f"The same, {_DEFAULT}."),
    Row(f"{_G}.e5_torch", f"The same, PyTorch, {_THESIS}.", source=PEER),
)
# Updates of a run, and of the run that tells how many threads are best; 0: its own
# number. Mode `reference` reports every 20 updates, so that it needs 40 to be timed.
_FULL = {
    "seeds": [1029, 1030, 1031],
    "threads": [1, 2],
    "updates": {"reference": 200, "default": 0, "rk4": 8, "dopri5": 200},
    "probe": {"reference": 60, "default": 0, "rk4": 8, "dopri5": 8},
}
_QUICK = {
    "seeds": [1029],
    "threads": [1],
    "updates": {"reference": 40, "default": 2, "rk4": 3, "dopri5": 3},
    "probe": {"reference": 40, "default": 2, "rk4": 3, "dopri5": 3},
}


@families.part("vs_torch", _ROWS, full=_FULL, quick=_QUICK)
def vs_torch(run: Run) -> Iterator[Claim]:
    """Programs in processes of their own, ours and theirs in turn; nothing else
    should run on the machine meanwhile."""
    folder = benchmarks("_imode_torch.py", ("torch", "torchdiffeq"))
    data = _records(run.scratch / "records.npz")
    settings = run.settings

    def one(side: str, threads: int, seed: int, steps: int) -> dict[str, Any]:
        name = f"{side}_{threads}_{seed}_{steps}"
        path = run.scratch / f"{name}.json"
        if not path.exists():
            run.progress(f"running {name}")
            script, option = _PROGRAMS[side]
            with replacing(path) as out:
                command = [sys.executable, str(folder / script), *option]
                command += ["--threads", str(threads), "--seed", str(seed)]
                command += ["--updates", str(steps)]
                command += ["--data", str(data), "--out", str(out)]
                printed(command, folder)
        found = json.loads(path.read_text(encoding="utf-8"))
        return _torch(found) if side in ("dopri5", "rk4") else found

    def best(side: str) -> int:
        """The number of threads that takes the least of the processor."""
        first, steps = settings["seeds"][0], settings["probe"][side]
        took = {n: one(side, n, first, steps) for n in settings["threads"]}
        key = "train_process" if side == "default" else "update_process"
        return min(took, key=lambda n: took[n][key])

    threads = {side: best(side) for side in _PROGRAMS}
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in _PROGRAMS}
    for seed in settings["seeds"]:
        for side, done in found.items():
            done.append(one(side, threads[side], seed, settings["updates"][side]))
    yield from _rows(run, found)


_PROGRAMS = {
    "reference": ("_imode_ours.py", ["--mode", "reference"]),
    "default": ("_imode_ours.py", ["--mode", "default"]),
    "rk4": ("_imode_torch.py", ["--solver", "rk4"]),
    "dopri5": ("_imode_torch.py", ["--solver", "dopri5"]),
}


def _torch(found: dict[str, Any]) -> dict[str, Any]:
    """The peer's answers by the names of ours."""
    errors = [new["error"] for new in found["new"]]
    # the first update also starts the threads and fills caches
    update = float(np.mean(found["process"][1:]))
    return {**found, "update_process": update, "errors": errors}


def _rows(run: Run, found: dict[str, list[dict[str, Any]]]) -> Iterator[Claim]:
    row = lambda name: run.row(f"{_G}.{name}")
    of = lambda side, key: np.array([f[key] for f in found[side]], float)
    update, whole = "update_process", "train_process"
    e5 = {side: np.median(of(side, "errors"), axis=1) for side in found}
    # a faster run that forecasts worse is not one
    equal = np.where(e5["default"] <= e5["dopri5"], 1.0, np.nan)
    yield row("update_same").measured(of("rk4", update) / of("reference", update))
    yield row("update_default").measured(
        equal * of("dopri5", update) / of("default", update)
    )
    yield row("run").measured(equal * of("dopri5", whole) / of("default", whole))
    for side, name in (
        ("reference", "compile_cpu"),
        ("default", "compile_default_cpu"),
    ):
        yield row(name).measured(of(side, "compile_process"))
    for side, name in (
        ("reference", "reference"),
        ("default", "default"),
        ("rk4", "rk4"),
        ("dopri5", "torch"),
    ):
        yield row(f"update_{name}_cpu").measured(of(side, update))
    for side, name in (
        ("reference", "reference"),
        ("default", "default"),
        ("dopri5", "torch"),
    ):
        yield row(f"run_{name}_cpu").measured(of(side, whole))
        yield row(f"e5_{name}").measured(e5[side])


def _records(path: Path) -> Path:
    """The training and the unseen records, exact, as both programs read them."""
    if not path.exists():
        runs = lambda lengths: [PENDULUM.motion((n,), START) for n in lengths]
        train = runs(p[0] for p in PENDULUM.params)
        with replacing(path) as out:
            np.savez(
                out,
                ts=train[0][0],
                ys=np.stack([ys for _, ys in train]),
                new=np.stack([ys for _, ys in runs(LENGTHS)]),
            )
    return path
