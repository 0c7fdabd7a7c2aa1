"""Part `speed` of study `sequences`: passes through long sequences beside PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._files import replacing
from ._benchmarks import benchmarks, in_turn
from ._claim import Claim
from ._row import Row
from ._sequences import sequences
from ._study import Run


PAIRS = (
    ("lem", "lem"),
    ("lipschitz", "lipschitz"),
    ("lstm", "lstm"),
    ("lstm", "fused"),
)
"""Our cell and what it is compared with: a loop of PyTorch's, or its fused LSTM."""
_PEER = "torch 2.13.0"
_HOW = (
    "N = 128, T = 784, batch 128, float32, as many threads as cores, programs in turn"
)

_TRIED = (
    "Input projections for all times at once, a scan over time. At this size both "
    "sides do matrix products at about one rate, and PyTorch's calls cost little "
    "beside them. Keeping only the products for the backward pass, steps unrolled by "
    "four and the weight gradients in one product at the end helped little; two halves "
    "of the batch at once, a thread each, helped most and still far from enough."
)


def _words(ours: str, theirs: str) -> str:
    return f"{ours}, PyTorch's fused one" if theirs == "fused" else f"{ours} as a loop"


def _rows() -> Iterator[Row]:
    for ours, theirs in PAIRS:
        must = 3.0 if theirs in ("lem", "lipschitz") else None
        what = f"{_words(ours, theirs)}; {_HOW}"
        yield Row(
            f"sequences.speed.{theirs}",
            f"Time of a forward and backward pass, PyTorch over Pendula: {what}.",
            better="higher",
            target=must,
            source=_PEER,
            tried=_TRIED if must else None,
        )
        yield Row(f"sequences.speed.{theirs}_ours", f"Pendula: {what}.", "s")
        yield Row(
            f"sequences.speed.{theirs}_torch", f"PyTorch: {what}.", "s", source=_PEER
        )
        yield Row(
            f"sequences.speed.{theirs}_difference",
            f"Relative difference of the norms of both gradients: {what}.",
            target=1e-3,
            tried="The same weights and formulas.",
        )


@sequences.part(
    "speed",
    tuple(_rows()),
    full={"steps": 784, "batch": 128, "size": 128, "turns": 5, "rounds": 5},
    quick={"steps": 8, "batch": 4, "size": 4, "turns": 1, "rounds": 1},
)
def speed(run: Run) -> Iterator[Claim]:
    """Programs in processes of their own; nothing else should run meanwhile."""
    folder = benchmarks("_sequences_torch.py", ("torch",))
    s = run.settings
    data = run.scratch / "data.npz"
    with replacing(data) as out:
        told = arrays(s["steps"], s["batch"], s["size"])
        np.savez(out, allow_pickle=False, **told)
    for ours, theirs in PAIRS:
        common = ("--rounds", s["rounds"], "--data", data)
        sides = {
            f"{side}_{net}_{theirs}": (
                folder / f"_sequences_{side}.py",
                ("--net", net, *common),
            )
            for side, net in (("ours", ours), ("torch", theirs))
        }
        found = in_turn(run, s["turns"], sides)
        mine, other = (
            np.array([one["seconds"] for one in turns]) for turns in found.values()
        )
        name = f"sequences.speed.{theirs}"
        yield run.row(name).measured(other / mine)
        yield run.row(f"{name}_ours").measured(mine)
        yield run.row(f"{name}_torch").measured(other)
        norms = [turns[0]["norm"] for turns in found.values()]
        difference = abs(norms[0] / norms[1] - 1.0)
        yield run.row(f"{name}_difference").measured(difference)


def arrays(
    steps: int = 784, batch: int = 128, size: int = 128, classes: int = 10
) -> dict[str, Any]:
    """Inputs, labels and the weights of all networks, by `network.field`."""
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> np.ndarray:
        return (rng.uniform(-1, 1, shape) / np.sqrt(size)).astype(np.float32)

    weights = {
        "lem": {
            "input": drawn(4 * size, 1),
            "bias": drawn(4 * size),
            "matrix": drawn(3 * size, size),
            "bias_matrix": drawn(3 * size),
            "matrix_y": drawn(size, size),
            "bias_y": drawn(size),
        },
        "lipschitz": {
            "input": drawn(size, 1),
            "bias": drawn(size),
            "matrix": 0.1 * drawn(size, size),
            "linear": 0.1 * drawn(size, size),
        },
        "lstm": {
            "weight_ih": drawn(4 * size, 1),
            "weight_hh": drawn(4 * size, size),
            "bias": drawn(4 * size),
        },
    }
    head = {"head": drawn(classes, size), "head_bias": drawn(classes)}
    told: dict[str, Any] = {
        "us": rng.random((batch, steps, 1)).astype(np.float32),
        "labels": rng.integers(0, classes, batch),
        "dt": 0.1,
    }
    for kind, some in weights.items():
        told |= {f"{kind}.{name}": value for name, value in {**some, **head}.items()}
    return told
