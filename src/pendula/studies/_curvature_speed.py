"""Part `speed` of study `curvature`: a Hessian-vector product beside PyTorch's double
backward, on the same networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._files import replacing
from ._benchmarks import benchmarks, in_turn
from ._claim import Claim
from ._curvature import curvature
from ._curvature_networks import conv_case, mlp_case
from ._row import Row
from ._study import Run


_P = "curvature.speed"
PEER = "torch 2.13.0, double backward with the graph of the gradient kept"
_HOW = (
    "one thread each, after compiling, processes in turn; both keep what the first "
    "gradient computed"
)
_NETS = {
    "mlp": "tanh network 8-64-64-64-1, 256 samples",
    "conv": "two convolutions with frozen batch norms, 64 images of 16 x 16",
}
_TRIED = (
    "The gradient linearised once and kept; the derivative of the gradient by forward "
    "mode anew at every product (the same time for the network of layers, 1.3 times as "
    "long for convolutions); by reverse mode (1.1 and 2.3 times). Several vectors at "
    "once by vmap: no gain per vector."
)
_ROWS = tuple(
    row
    for name, words in _NETS.items()
    for row in (
        Row(
            f"{_P}.hvp_{name}",
            f"Time of one Hessian-vector product, PyTorch over Pendula; {words}; "
            f"{_HOW}.",
            better="higher",
            target=1.0,
            source=PEER,
            tried=_TRIED,
        ),
        Row(f"{_P}.{name}_ms", f"Pendula: one product; {words}.", "ms"),
        Row(f"{_P}.{name}_torch_ms", f"PyTorch: one product; {words}.", "ms"),
        Row(
            f"{_P}.{name}_full",
            f"The same ratio where PyTorch passes the network anew; {words}.",
            source=PEER,
        ),
        Row(
            f"{_P}.{name}_gap",
            "Largest difference of both products over the largest entry, float32.",
            target=1e-5,
            source=PEER,
            tried="Weights, data and vector from one file.",
        ),
    )
)


@curvature.part(
    "speed",
    _ROWS,
    full={"width": 64, "steps": 200, "turns": 5, "rounds": 200},
    quick={"width": 16, "steps": 50, "turns": 1, "rounds": 5},
)
def speed(run: Run) -> Iterator[Claim]:
    """Programs in processes of their own; nothing else should run meanwhile."""
    folder = benchmarks("_hessian_torch.py", ("torch",))
    s = run.settings
    for name in _NETS:
        data = run.scratch / f"{name}.npz"
        if not data.exists():
            with replacing(data) as out:
                np.savez(
                    out, allow_pickle=False, **arrays(name, s["width"], s["steps"])
                )
        options = ("--net", name, "--rounds", s["rounds"], "--data", data)
        sides = {
            f"{name}_{side}": (folder / f"_hessian_{side}.py", options)
            for side in ("ours", "torch")
        }
        ours, theirs = in_turn(run, s["turns"], sides).values()
        yield from _rows(run, name, {"ours": ours, "torch": theirs})


def _rows(run: Run, name: str, found: dict[str, list[dict]]) -> Iterator[Claim]:
    row = lambda what: run.row(f"{_P}.{what}")
    of = lambda side, what: np.array([one[what] for one in found[side]], float)
    ours, theirs = of("ours", "seconds"), of("torch", "seconds")
    yield row(f"hvp_{name}").measured(theirs / ours)
    yield row(f"{name}_ms").measured(1e3 * ours)
    yield row(f"{name}_torch_ms").measured(1e3 * theirs)
    yield row(f"{name}_full").measured(of("torch", "full") / ours)
    one, other = (np.array(found[k][0]["product"]) for k in ("ours", "torch"))
    gap = np.abs(one - other).max() / np.abs(one).max()
    yield row(f"{name}_gap").measured(float(gap))


def arrays(name: str, width: int, steps: int) -> dict[str, np.ndarray]:
    """Weights, data and a vector of one case, plain arrays that both programs read;
    `w0, w1, ..` in the order of the flat vector."""
    rng = np.random.default_rng(3)
    if name == "mlp":
        _, net, (x, y) = mlp_case(width, steps)
        weights = [net.weight_in, net.bias_in, net.weight_hidden, net.bias_hidden]
        weights += [net.weight_out, net.bias_out]
        extra = {}
    else:
        _, (net, state), (x, y) = conv_case(steps)
        layers = (net.conv1, net.norm1, net.conv2, net.norm2, net.out)
        weights = [w for one in layers for w in (one.weight, one.bias)]
        extra = {}
        for index, norm in enumerate((net.norm1, net.norm2)):
            mean, variance = norm_statistics(norm, state)
            extra |= {f"mean{index}": mean, f"variance{index}": variance}
    size = sum(w.size for w in weights)
    named = {f"w{i}": np.asarray(w) for i, w in enumerate(weights)}
    v = rng.normal(size=size).astype(np.float32)
    return {**named, **extra, "x": x, "y": y, "v": v}


def norm_statistics(norm: Any, state: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance that a batch norm of mode `"batch"` uses in inference."""
    count = state.get(norm.batch_counter)
    mean, variance = state.get(norm.batch_state_index)
    scale = 1.0 - norm.momentum ** float(count)  # its running sums are not debiased
    return np.asarray(mean) / scale, np.asarray(variance) / scale
