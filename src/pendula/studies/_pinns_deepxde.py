"""Part `A7` of study `pinns`: time to equal error beside DeepXDE."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .._files import replacing
from ..systems import classical_time
from ._benchmarks import benchmarks, printed
from ._claim import Claim
from ._pinns import LEFT_OUT, Case, pinns
from ._row import Row
from ._study import Run


_P = "pinns.A7"
_PEER = "deepxde 1.15.0 on torch 2.13.0"
_NEAR = 1.1  # of its lowest error: where the peer's clock is stopped


@dataclasses.dataclass(frozen=True)
class Peer:
    """A problem as both sides solve it.

    `circle`: whether the peer's network sees cos x and sin x (its ends then agree
    exactly) or its ends agree by a term of the loss; `adam`: its steps of Adam, where
    not those of the settings; `target`: whether the ratio has to be reached.
    """

    case: Case
    words: str
    circle: bool = False
    adam: int | None = None
    target: bool = False


PEERS = {
    "burgers": Peer(
        Case("burgers"),
        "Burgers' equation, DeepXDE with the settings of its own example (3 layers of "
        "20, 2540 + 80 + 160 points, Adam 15000, L-BFGS)",
        target=True,
    ),
    "convection": Peer(
        Case("convection", beta=1.0),
        "convection beta = 1, DeepXDE with the settings of its example of Burgers' "
        "equation and cos x, sin x as inputs",
        circle=True,
        target=True,
    ),
    "burgers_short": Peer(
        Case("burgers"),
        "Burgers' equation, DeepXDE with 1000 steps of Adam only before its L-BFGS",
        adam=1000,
    ),
    "convection_soft": Peer(
        Case("convection", beta=1.0),
        "convection beta = 1, DeepXDE with periodic ends as a term of its loss",
    ),
    "convection_beta30": Peer(
        Case("convection", beta=30.0),
        "convection beta = 30, DeepXDE with cos x, sin x as inputs",
        circle=True,
    ),
}
_CLOCKS = (
    "CPU time, float64, one thread each; ours with compiling, at the loosest tolerance "
    "that gives DeepXDE's error; DeepXDE's without building its model, when it first "
    "comes within a tenth of its lowest error"
)


def _rows() -> Iterator[Row]:
    for key, peer in PEERS.items():
        yield Row(
            f"{_P}.{key}",
            f"Time to equal error, DeepXDE over Pendula: {peer.words}; {_CLOCKS}.",
            better="higher",
            target=5.0 if peer.target else None,
            source=_PEER,
            tried="`solve` with its defaults, from the loosest tolerance on."
            if peer.target
            else None,
        )
        what = f"in that comparison, {peer.words}"
        for side, source in (("Pendula", "ours"), ("DeepXDE", _PEER)):
            name = "ours" if side == "Pendula" else "theirs"
            yield Row(
                f"{_P}.{key}_{name}",
                f"{side}: CPU time {what}.",
                "s",
                source=source,
            )
            yield Row(
                f"{_P}.{key}_{name}_error",
                f"{side}: relative L2 error {what}.",
                source=source,
            )
        yield Row(f"{_P}.{key}_tol", f"Pendula: tolerance asked for {what}.")
        yield Row(
            f"{_P}.{key}_classical",
            f"Time of the classical solver at DeepXDE's error {what}.",
            "s",
        )


@pinns.part(
    "A7",
    tuple(_rows()),
    full={
        "seeds": 3,
        "points": [2540, 80, 160],
        "adam": 15000,
        "lbfgs": 15000,
        "every": 500,
        "tols": [5e-1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5],
        "budget": 600.0,
        "only": [],
    },
    quick={
        "seeds": 1,
        "points": [200, 20, 40],
        "adam": 100,
        "lbfgs": 0,
        "every": 50,
        "tols": [1e-1, 1e-3],
        "budget": 60.0,
        "only": ["convection"],
    },
)
def beside_deepxde(run: Run) -> Iterator[Claim]:
    """Programs in processes of their own, one after the other."""
    folder = benchmarks("_pinns_deepxde.py", ("torch", "deepxde"))
    s = run.settings
    for key, peer in PEERS.items():
        if s["only"] and key not in s["only"]:
            # not by stems: one key is another's beginning
            for suffix in ("", "_classical", *(f"_{name}" for name in _ALL)):
                yield run.row(f"{_P}.{key}{suffix}").not_run(LEFT_OUT)
            continue
        found = [
            run.keep(f"{key}_{seed}", lambda k=key, n=seed: compare(run, folder, k, n))
            for seed in range(s["seeds"])
        ]
        every = {name: np.asarray([float(one[name]) for one in found]) for name in _ALL}
        row = lambda what, k=key: run.row(f"{_P}.{k}{what}")
        yield row("").measured(every["theirs"] / every["ours"])
        for name in _ALL:
            yield row(f"_{name}").measured(every[name])
        classical = classical_time(
            peer.case.name,
            max(float(np.median(every["theirs_error"])), 1e-12),
            x=peer.case.x,
            t=peer.case.t,
            **peer.case.params,
        )
        yield row("_classical").measured(classical.seconds)


_ALL = ("ours", "ours_error", "theirs", "theirs_error", "tol")


def compare(run: Run, folder: Path, key: str, seed: int) -> dict[str, float]:
    """Times and errors of both sides for one seed, and our tolerance; NaN for ours
    where no tolerance gives the peer's error."""
    s, peer = run.settings, PEERS[key]
    told = arrays(peer, s, seed)
    theirs = reached(_program(run, folder, "deepxde", f"{key}_{seed}", told))
    out = {"theirs": theirs["cpu"], "theirs_error": theirs["error"]}
    out |= {"ours": math.nan, "ours_error": math.nan, "tol": math.nan}
    for tol in s["tols"]:
        name = f"{key}_{seed}_{tol:g}"
        ours = _program(run, folder, "ours", name, {**told, "tol": tol})
        if ours["error"] <= theirs["error"]:
            return out | {"ours": ours["cpu"], "ours_error": ours["error"], "tol": tol}
    return out


def _program(
    run: Run, folder: Path, side: str, name: str, told: dict[str, Any]
) -> dict[str, Any]:
    """What a program of the benchmarks writes; one that has run already is not run
    again."""
    path = run.scratch / f"{side}_{name}.json"
    if not path.exists():
        run.progress(f"running {path.stem}")
        data = run.scratch / f"{side}_{name}_told.npz"
        with replacing(data) as out:
            np.savez(out, allow_pickle=False, **told)
        with replacing(path) as out:
            command = [sys.executable, str(folder / f"_pinns_{side}.py")]
            printed([*command, "--data", str(data), "--out", str(out)], folder)
    return json.loads(path.read_text(encoding="utf-8"))


def arrays(peer: Peer, settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """What the programs are told: the problem, the peer's settings, grid and truth."""
    case = peer.case
    return {
        "problem": case.name,
        "nu": 0.01 / math.pi,
        **case.params,
        "circle": peer.circle,
        "points": settings["points"],
        "adam": peer.adam or settings["adam"],
        "lbfgs": settings["lbfgs"],
        "every": settings["every"],
        "budget": settings["budget"],
        "seed": seed,
        "x": case.x,
        "t": case.t,
        "truth": case.truth(),
    }


def reached(told: dict[str, Any]) -> dict[str, Any]:
    """The peer's first checkpoint within a tenth of its lowest error."""
    lowest = np.nanmin([one["error"] for one in told["checkpoints"]])
    return next(one for one in told["checkpoints"] if one["error"] <= _NEAR * lowest)
