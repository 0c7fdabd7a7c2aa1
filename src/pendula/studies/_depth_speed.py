"""Part `speed` of study `depth`: a training step beside PyTorch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .._files import replacing
from ._benchmarks import benchmarks, in_turn
from ._claim import Claim
from ._depth import depth
from ._row import Row
from ._study import Run


_P = "depth.speed"
_PEER = "torch 2.13.0, the faster of the layouts NCHW and NHWC"
_HOW = "2-2-2, batch 128 of 32 x 32, batch norm, one thread each, programs in turn"
_ROWS = (
    Row(
        f"{_P}.step",
        f"Time of one training step, PyTorch's ResNet of the same shape over Euler; "
        f"{_HOW}.",
        better="higher",
        target=1.0,
        source=_PEER,
        tried="Nearly all of the step is convolutions: without norms it is a fifth "
        "shorter. XLA's take twice as long as oneDNN's forward and in the slope of the "
        "input, up to five times in that of the kernel. Tried for them: NCHW, patches "
        "and one product, nine products, the kernel's slope as a loop over patches (a "
        "third faster than XLA's, but no forward mode), XLA's own oneDNN and YNNPACK "
        "switches (no effect in this build).",
    ),
    Row(f"{_P}.step_nchw", f"The same ratio in PyTorch's layout NCHW; {_HOW}."),
    Row(f"{_P}.ours_ms", f"Pendula: one step; {_HOW}.", "ms"),
    Row(f"{_P}.torch_ms", f"PyTorch: one step; {_HOW}.", "ms", source=_PEER),
    Row(
        f"{_P}.weights",
        "Difference between the numbers of weights of both networks.",
        better="equal",
        target=0,
        source=_PEER,
        tried="Same layers, strides and shortcuts.",
    ),
)


@depth.part(
    "speed",
    _ROWS,
    full={"batch": 128, "turns": 5, "rounds": 10},
    quick={"batch": 8, "turns": 1, "rounds": 2},
)
def speed(run: Run) -> Iterator[Claim]:
    """Programs in processes of their own; nothing else should run meanwhile."""
    folder = benchmarks("_depth_torch.py", ("torch",))
    s = run.settings
    data = run.scratch / f"batch_{s['batch']}.npz"
    with replacing(data) as out:
        np.savez(out, allow_pickle=False, **arrays(s["batch"]))
    options = ("--rounds", s["rounds"], "--data", data)
    sides = {k: (folder / f"_depth_{k}.py", options) for k in ("ours", "torch")}
    found = in_turn(run, s["turns"], sides)
    ours = np.array([one["seconds"] for one in found["ours"]])
    nchw, nhwc = (
        np.array([one[layout] for one in found["torch"]]) for layout in ("nchw", "nhwc")
    )
    best = np.minimum(nchw, nhwc)
    row = lambda what: run.row(f"{_P}.{what}")
    yield row("step").measured(best / ours)
    yield row("step_nchw").measured(nchw / ours)
    yield row("ours_ms").measured(1e3 * ours)
    yield row("torch_ms").measured(1e3 * best)
    sizes = [found[side][0]["size"] for side in ("ours", "torch")]
    yield row("weights").measured(abs(sizes[0] - sizes[1]))


def arrays(batch: int) -> dict[str, np.ndarray]:
    """Images of noise and their labels."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, 32, 32, 3)).astype(np.float32)
    return {"x": x, "y": rng.integers(0, 10, batch)}
