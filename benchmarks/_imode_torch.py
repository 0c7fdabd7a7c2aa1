"""The published pendulum case of iMODE in PyTorch and torchdiffeq: the peer of ours.

Li, Wang, Roychowdhury, Jawed, Phys. Rev. Lett. 131, 067301 (2023), written from the
equations and settings: a conservative second-order system whose energy is a network of
the angle and of a short vector η, one per pendulum; five gradient steps in η inside,
Adam on the weights outside.

    python benchmarks/_imode_torch.py --updates 3 --threads 1 \
        --data file.npz --out out.json

runs it in a process of its own. The data file holds `ts` (samples), `ys` (instance,
sample, [angle, speed]) and, if new pendulums are to be forecast, `new` (as `ys`).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


# By name: type checks pass where the peer is not installed
torch: Any = importlib.import_module("torch")
torchdiffeq: Any = importlib.import_module("torchdiffeq")

WIDTH = 32
HIDDEN = 4
ETA = 1  # entries of η
CLIPS = 20  # a pendulum and update
LENGTH = 100  # samples of a clip
INNER = 5
INNER_RATE = 0.1
RATE = 1e-2
TOLERANCE = 1e-4  # relative and absolute
STEP = 0.1  # s, of the fixed schemes
FORECAST = 5.0  # s
# torchdiffeq's "rk4" is the 3/8 rule, so the classical one is written out here
SOLVERS = ("dopri5", "rk4", "rk4_38")


def run(
    ts: np.ndarray,
    ys: np.ndarray,
    *,
    updates: int,
    threads: int,
    solver: str,
    seed: int = 1029,
    together: bool = True,
    dtype: str = "float32",
) -> dict[str, Any]:
    """Meta-train on the records `ys` (instance, sample, 2) at the times `ts`.

    `solver` is one of `SOLVERS`. `together`: whether the clips of all pendulums are one
    state of one solve, or each pendulum has a solve of its own. Returned are, one entry
    an update, `process` and `wall` (seconds), `losses` (mean over pendulums of the mean
    square error at the η whose gradient is used), `each` (the same per pendulum),
    `evaluations` (of the acceleration) and `starts` (first sample of each clip); and
    three sets of weights, as they were at the beginning (`initial`), at the lowest loss
    (`best`, the model) and after the last update (`final`).
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    kind = getattr(torch, dtype)
    net = network().to(kind)
    eta = torch.randn(ETA).to(kind).requires_grad_()
    weights = list(net.parameters())
    optimiser = torch.optim.Adam([*weights, eta], lr=RATE)
    field = Field(net)
    records = torch.from_numpy(np.asarray(ys)).to(kind)
    solve = _solver(solver, np.asarray(ts)[:LENGTH] - ts[0])
    n = len(records)
    groups = [slice(0, n)] if together else [slice(i, i + 1) for i in range(n)]

    found: dict[str, Any] = {
        "solver": solver,
        "threads": threads,
        "seed": seed,
        "together": together,
        "initial": _arrays(net, eta),
        "process": [],
        "wall": [],
        "losses": [],
        "each": [],
        "evaluations": [],
        "starts": [],
    }
    found["best"] = found["initial"]
    lowest = math.inf
    for _ in range(updates):
        before = _arrays(net, eta)
        field.calls = 0
        process, wall = time.process_time(), time.perf_counter()

        starts = random.integers(0, records.shape[1] - LENGTH + 1, (n, CLIPS))
        clips = _clips(records, starts)
        totals = [torch.zeros_like(w) for w in weights]
        towards = torch.zeros_like(eta)
        each = []
        for group in groups:
            mine = clips[:, group]
            etas = eta.detach().expand(mine.shape[1], ETA)
            etas, _ = _descend(field, solve, mine, etas, INNER - 1)
            # The last pass is before its own update: both gradients are taken here
            etas.requires_grad_()
            losses = _losses(field, solve, mine, etas)
            *slopes, slope = torch.autograd.grad(losses.sum(), [*weights, etas])
            for total, more in zip(totals, slopes, strict=True):
                total += more
            towards += slope.sum(0)  # each η of a pendulum moves as the shared one
            each += losses.tolist()
        for w, total in zip(weights, totals, strict=True):
            w.grad = total
        eta.grad = towards
        optimiser.step()

        found["process"].append(time.process_time() - process)
        found["wall"].append(time.perf_counter() - wall)
        found["losses"].append(float(np.mean(each)))
        found["each"].append(each)
        found["evaluations"].append(field.calls)
        found["starts"].append(starts)
        if found["losses"][-1] < lowest:
            lowest, found["best"] = found["losses"][-1], before
    found["final"] = _arrays(net, eta)
    return found


def evaluate(
    model: dict[str, np.ndarray],
    ts: np.ndarray,
    ys: np.ndarray,
    *,
    solver: str,
    seed: int = 1029,
    seconds: float = FORECAST,
) -> dict[str, Any]:
    """Adapt a set of weights of `run` to the record `ys` (sample, 2) of a new pendulum.

    η takes five gradient steps on random clips of the record, then the first `seconds`
    are forecast from the first sample: `forecast` at `times`, `error` = relative 2-norm
    of what it misses. `losses` are those before each step.
    """
    net, eta = _restored(model)
    field = Field(net)
    kind = eta.dtype
    ts = np.asarray(ts) - ts[0]
    ys = np.asarray(ys)
    n = int(np.searchsorted(ts, seconds * (1 + 1e-9), side="right"))
    began = time.process_time()
    random = np.random.default_rng(seed)
    starts = random.integers(0, len(ys) - LENGTH + 1, (1, CLIPS))
    record = torch.from_numpy(ys).to(kind)
    solve = _solver(solver, ts[:LENGTH])
    clips = _clips(record[None], starts)
    etas, losses = _descend(field, solve, clips, eta[None], INNER)
    adapted = time.process_time()
    with torch.no_grad():
        made = _solver(solver, ts[:n])(field.at(etas), record[None, None, 0])
    forecast = made[:, 0, 0].numpy()
    return {
        "eta": etas[0].numpy(),
        "losses": [float(x) for x in losses],
        "times": ts[:n],
        "forecast": forecast,
        "error": float(np.linalg.norm(forecast - ys[:n]) / np.linalg.norm(ys[:n])),
        "adapt_process": adapted - began,
        "forecast_process": time.process_time() - adapted,
    }


def network() -> Any:
    """The network of angle and η, with torch's own start."""
    nn = torch.nn
    parts = [nn.Linear(1 + ETA, WIDTH)]
    for _ in range(HIDDEN):
        parts += [nn.Linear(WIDTH, WIDTH), nn.Softplus(beta=10)]
    return nn.Sequential(*parts, nn.Linear(WIDTH, 1, bias=False))


class Field:
    """u″ = -∂E/∂u with the even energy E = N(u, |η|) + N(-u, |η|).

    `calls` counts its evaluations.
    """

    def __init__(self, net: Any):
        self.net = net
        self.calls = 0

    def at(self, etas: Any) -> Callable[[Any, Any], Any]:
        """The right-hand side for one η a pendulum (instance, entry).

        States are (..., instance, clip, [angle, speed]).
        """
        size = etas.abs()[:, None, :]

        def rhs(t: Any, y: Any) -> Any:
            self.calls += 1
            wanted = torch.is_grad_enabled()
            with torch.enable_grad():
                u = y[..., :1]
                if not u.requires_grad:
                    u = u.detach().requires_grad_()
                z = size.expand(*u.shape[:-1], ETA)
                both = torch.stack([torch.cat([u, z], -1), torch.cat([-u, z], -1)])
                energy = self.net(both).sum()
                (slope,) = torch.autograd.grad(energy, u, create_graph=wanted)
            return torch.cat([y[..., 1:], -slope], -1)

        return rhs


def _descend(field: Field, solve: Any, clips: Any, etas: Any, steps: int) -> Any:
    """η of each pendulum after some gradient steps, and the losses before each."""
    seen = []
    for _ in range(steps):
        etas = etas.detach().requires_grad_()
        loss = _losses(field, solve, clips, etas).sum()
        (slope,) = torch.autograd.grad(loss, etas)
        etas = etas.detach() - INNER_RATE * slope
        seen.append(loss.detach())
    return etas.detach().clone(), seen


def _losses(field: Field, solve: Any, clips: Any, etas: Any) -> Any:
    """Mean square error of each pendulum over clips, samples and components."""
    made = solve(field.at(etas), clips[0])
    return torch.mean((made - clips) ** 2, dim=(0, 2, 3))


def _clips(records: Any, starts: np.ndarray) -> Any:
    """The clips that start at the given samples: (sample, instance, clip, 2)."""
    places = torch.from_numpy(starts + np.arange(LENGTH)[:, None, None])
    return records[torch.arange(len(records))[None, :, None], places]


def _solver(name: str, times: np.ndarray) -> Callable[[Any, Any], Any]:
    """From right-hand side and start to the states at `times`, which begin at 0."""
    if name == "dopri5":
        # In float64 as torchdiffeq keeps its time; one step for all clips of a solve
        at = torch.from_numpy(np.asarray(times, np.float64))
        return lambda rhs, y: torchdiffeq.odeint(
            rhs, y, at, method="dopri5", rtol=TOLERANCE, atol=TOLERANCE
        )
    if name not in SOLVERS:
        raise ValueError(f"solver {name!r} is none of {', '.join(SOLVERS)}")
    steps = math.ceil(times[-1] / STEP - 1e-6)
    grid = STEP * np.arange(steps + 1)
    hermite = torch.from_numpy(_hermite(grid, times))

    def solve(rhs: Any, y: Any) -> Any:
        if name == "rk4":
            nodes, slopes = _classical(rhs, y, steps)
        else:
            at = torch.from_numpy(grid)
            nodes = torchdiffeq.odeint(rhs, y, at.to(y.dtype), method="rk4")
            # All slopes in one evaluation; torchdiffeq's own cubic interpolation
            # would take one for each sample
            slopes = rhs(None, nodes)
        both = torch.cat([nodes, slopes]).flatten(1)
        return (hermite.to(y.dtype) @ both).unflatten(1, y.shape)

    return solve


def _classical(rhs: Any, y: Any, steps: int) -> Any:
    """Nodes and their slopes by the classical fourth-order rule."""
    nodes, slopes = [y], [rhs(None, y)]
    for _ in range(steps):
        a = slopes[-1]
        b = rhs(None, y + STEP / 2 * a)
        c = rhs(None, y + STEP / 2 * b)
        d = rhs(None, y + STEP * c)
        y = y + STEP / 6 * (a + 2 * (b + c) + d)
        nodes.append(y)
        slopes.append(rhs(None, y))
    return torch.stack(nodes), torch.stack(slopes)


def _hermite(grid: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The matrix from nodes and slopes on the grid to the cubic's values."""
    k = len(grid)
    left = np.clip(np.searchsorted(grid, times, side="right") - 1, 0, k - 2)
    x = (times - grid[left]) / STEP
    rows = np.arange(len(times))
    matrix = np.zeros((len(times), 2 * k))
    matrix[rows, left] = (1 + 2 * x) * (1 - x) ** 2
    matrix[rows, left + 1] = x**2 * (3 - 2 * x)
    matrix[rows, k + left] = STEP * x * (1 - x) ** 2
    matrix[rows, k + left + 1] = STEP * x**2 * (x - 1)
    return matrix


def _arrays(net: Any, eta: Any) -> dict[str, np.ndarray]:
    """Weights by their name in the network, and `eta`: copies."""
    found = {k: v.detach().numpy().copy() for k, v in net.named_parameters()}
    return {**found, "eta": eta.detach().numpy().copy()}


def _restored(model: dict[str, np.ndarray]) -> Any:
    """Network and η from `_arrays`."""
    values = {k: torch.from_numpy(np.asarray(v)) for k, v in model.items()}
    eta = values.pop("eta")
    net = network().to(eta.dtype)
    net.load_state_dict(values)
    return net, eta


def _plain(x: Any) -> Any:
    """As JSON takes it."""
    if isinstance(x, dict):
        return {k: _plain(v) for k, v in x.items()}
    if isinstance(x, list):
        return [_plain(v) for v in x]
    return x.tolist() if isinstance(x, np.ndarray) else x


def main() -> None:
    """Train, forecast the new pendulums if there are any, write one JSON file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--solver", choices=SOLVERS, default="dopri5")
    parser.add_argument("--seed", type=int, default=1029)
    parser.add_argument("--apart", action="store_true", help="a solve a pendulum")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    imported = time.process_time()
    with np.load(args.data) as data:
        ts, ys = data["ts"], data["ys"]
        new = data.get("new", [])
    found = run(
        ts,
        ys,
        updates=args.updates,
        threads=args.threads,
        solver=args.solver,
        seed=args.seed,
        together=not args.apart,
    )
    found["import_process"] = imported
    found["train_process"] = time.process_time()  # whole process so far
    options = {"solver": args.solver, "seed": args.seed}
    found["new"] = [evaluate(found["best"], ts, y, **options) for y in new]
    found["versions"] = {
        "torch": torch.__version__,
        "torchdiffeq": importlib.metadata.version("torchdiffeq"),
    }
    args.out.write_text(json.dumps(_plain(found)), encoding="utf-8")


if __name__ == "__main__":
    main()
