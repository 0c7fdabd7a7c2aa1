"""Part `vs_torchdiffeq` of study `spine`: the same training beside a peer."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .._errors import DivergedError
from ._benchmarks import benchmarks, printed
from ._claim import Claim
from ._row import Row
from ._spine import spine
from ._study import Run


PEER = "torchdiffeq 0.2.5, torch 2.13.0"
_SAME = (
    "2-32-32-2 tanh neural ODE, 16 x 21 samples, same weights, scheme (3/8 rule, one "
    "step a sample) and Adam"
)
_STEP = "spine.vs_torchdiffeq.step"
_FIT = "spine.vs_torchdiffeq.fit"


def _step_rows(name: str, scheme: str) -> list[Row]:
    """Ratio, both times and both errors for a scheme that is reported only."""
    return [
        Row(f"{_STEP}_{name}", f"The same ratio for {scheme}.", better="higher"),
        *_sides(f"{_STEP}_{name}", f"one training step, {scheme}", "ms"),
    ]


def _sides(key: str, what: str, unit: str) -> list[Row]:
    return [
        Row(f"{key}_ours", f"Pendula: {what}.", unit),
        Row(f"{key}_torch", f"torchdiffeq: {what}.", unit, source=PEER),
        Row(f"{key}_ours_error", f"Pendula: validation RMSE after {what}."),
        Row(
            f"{key}_torch_error",
            f"torchdiffeq: validation RMSE after {what}.",
            source=PEER,
        ),
    ]


_ROWS = (
    Row(
        _STEP,
        f"Time of one training step, torchdiffeq over Pendula: {_SAME}; torch at its "
        "best of 1 and 2 threads, as it is and compiled.",
        better="higher",
        target=3,
        goal=10,
        source=PEER,
        tried="One jitted step: the rollout is a scan, gradients and Adam inside.",
    ),
    *_sides(_STEP, "one training step, 3/8 rule", "ms"),
    Row(
        f"{_STEP}_agreement",
        "Largest relative difference of loss, gradient and updated weights between "
        "the two before anything is timed, fixed schemes.",
        source=PEER,
    ),
    *_step_rows("heun", "Heun's method, one step a sample"),
    *_step_rows("dopri5", "dopri5 with rtol 1e-5, atol 1e-6"),
    Row(
        _FIT,
        f"Time of a whole fit to equal validation error in a fresh process, import and "
        f"compile included, torchdiffeq over Pendula: {_SAME}; torch at its best of 1 "
        "and 2 threads.",
        better="higher",
        target=1.5,
        goal=3,
        source=PEER,
        tried="Compiling is most of the time of a short fit.",
    ),
    *_sides(_FIT, "a whole fit, import and compile included", "s"),
)
_FULL = {
    "rounds": 20,
    "select": None,
    "seeds": [0, 1, 2, 3, 4],
    "threads": [1, 2],
    "enough": None,
}
_QUICK = {
    "rounds": 2,
    "select": "not compiled and not eager-2",
    "seeds": [0],
    "threads": [1],
    "enough": 0.5,
}


@spine.part("vs_torchdiffeq", _ROWS, full=_FULL, quick=_QUICK)
def vs_torchdiffeq(run: Run) -> Iterator[Claim]:
    """The benchmark files, in processes of their own; nothing else should run on
    the machine meanwhile."""
    needed = ("torch", "torchdiffeq", "pytest_benchmark")
    folder = benchmarks("test_torchdiffeq.py", needed)
    yield from _steps(run, folder)
    yield from _fits(run, folder)


def _steps(run: Run, folder: Path) -> Iterator[Claim]:
    """The training step of each scheme."""
    out = run.scratch / "steps.json"
    if not out.exists():
        run.progress("timing training steps")
        partial = run.scratch / "steps.partial.json"
        command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-q", "-p"]
        command += ["no:cacheprovider", str(folder / "test_torchdiffeq.py")]
        command += ["--benchmark-json", str(partial)]
        command += ["--rounds", str(run.settings["rounds"])]
        if run.settings["select"]:
            command += ["-k", run.settings["select"]]
        printed(command, folder)
        partial.replace(out)
    rows = json.loads(out.read_text(encoding="utf-8"))["benchmarks"]
    agreement = 0.0
    for name, key in (
        ("rk4_38", _STEP),
        ("heun", f"{_STEP}_heun"),
        ("dopri5", f"{_STEP}_dopri5"),
    ):
        mine = [r for r in rows if r["extra_info"]["scheme"] == name]
        ours = [r for r in mine if r["extra_info"]["side"] == "ours"]
        peers = [r for r in mine if r["extra_info"]["side"] == "torchdiffeq"]
        if not ours or not peers:
            raise DivergedError(f"the benchmark gave no times for {name}. See {out}.")
        best = min(peers, key=lambda r: r["stats"]["median"])
        yield run.row(key).measured(
            best["stats"]["median"] / ours[0]["stats"]["median"],
            n=len(ours[0]["stats"]["data"]),
        )
        for side, row in (("ours", ours[0]), ("torch", best)):
            times = [1e3 * seconds for seconds in row["stats"]["data"]]
            yield run.row(f"{key}_{side}").measured(times)
            error = row["extra_info"]["validation"]
            yield run.row(f"{key}_{side}_error").measured(error)
        if name != "dopri5":
            agreement = max(agreement, *ours[0]["extra_info"]["agreement"].values())
        if name == "heun":
            yield run.row(f"{_STEP}_agreement").measured(agreement)


def _fits(run: Run, folder: Path) -> Iterator[Claim]:
    """Whole fits, ours and theirs in turn, so that both see the same machine."""
    ours: list[dict[str, Any]] = []
    peers: list[dict[str, Any]] = []
    for seed in run.settings["seeds"]:
        common = ["--seed", str(seed)]
        if run.settings["enough"] is not None:
            common += ["--enough", str(run.settings["enough"])]
        ours.append(_timed(run, folder, f"ours_{seed}", "_ours_fit.py", common))
        runs = [
            _timed(
                run,
                folder,
                f"torch_{seed}_{threads}",
                "_torch_fit.py",
                [*common, "--threads", str(threads)],
            )
            for threads in run.settings["threads"]
        ]
        peers.append(min(runs, key=lambda r: r["wall"]))
    ratios = [b["wall"] / a["wall"] for a, b in zip(ours, peers, strict=True)]
    yield run.row(_FIT).measured(ratios)
    for side, done in (("ours", ours), ("torch", peers)):
        yield run.row(f"{_FIT}_{side}").measured([r["wall"] for r in done])
        errors = [r["validation"] for r in done]
        yield run.row(f"{_FIT}_{side}_error").measured(errors)


def _timed(
    run: Run, folder: Path, name: str, script: str, options: list[str]
) -> dict[str, Any]:
    """One whole fit in a process of its own: what it printed, and its wall time."""
    path = run.scratch / f"{name}.json"
    if not path.exists():
        run.progress(f"whole fit: {name}")
        began = time.perf_counter()
        text = printed([sys.executable, str(folder / script), *options], folder)
        wall = time.perf_counter() - began
        found = {**json.loads(text.strip().splitlines()[-1]), "wall": wall}
        path.write_text(json.dumps(found), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))
