"""Pendula's side of the iMODE pendulum: the published procedure, or Gauss-Newton.

    python benchmarks/_imode_ours.py --mode reference --threads 1 \
        --data file.npz --out out.json

runs it in a process of its own; data and answers as in `_imode_torch.py`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from pathlib import Path


CLIP, CLIPS = 100, 20
STRIDE = 10  # samples to a step of RK4: 0.1 s
FORECAST = 5.0  # s
INTERVAL = 0.01  # s, between samples


def config(mode, seed, updates=0):
    """`reference`: as published, RK4 for dopri5. `default`: Gauss-Newton, of an even
    energy as the peer's is, in a network of one layer of 16, and no longer than until
    its forecasts are as good as the peer's: on single sampling intervals they are two
    hundred times better."""
    from pendula.dynamics import FamilyConfig, ModelConfig

    told = {"learn": "energy", "priors": ("odd",)}
    if mode == "default":
        model = ModelConfig(width=16, depth=1, **told)
        return FamilyConfig(model, horizon=INTERVAL, seed=seed, steps=updates)
    return FamilyConfig(
        ModelConfig(width=32, depth=4, **told),
        head="reference",
        mode="reference",
        horizon=(CLIP - 1) * 0.01,
        clips=CLIPS,
        lr=1e-2,
        every=1,
        stride=STRIDE,
        steps=updates,
        seed=seed,
    )


def records(ts, ys):
    """Records `ys` (record, sample, 2), each of a system of its own."""
    from pendula.data import Trajectories

    return Trajectories.from_arrays(
        [ts] * len(ys),
        list(ys),
        names=("angle", "speed"),
        units=("1", "1/s"),
        origin={"system": "pendulum"},
    )


def error(family, mode, ts, ys, seed):
    """Relative 2-norm of what a forecast of the first seconds of a new record misses,
    after adaptation to it."""
    import numpy as np

    if mode == "reference":
        begins = np.random.default_rng(seed).integers(0, len(ts) - CLIP + 1, CLIPS)
        clips = records(ts[:CLIP], [ys[b : b + CLIP] for b in begins])
        eta = family.adapt(clips, method="gd", noise=0.0).eta
    else:
        eta = family.adapt(records(ts, ys[None])).eta
    every = int(family.about["every"])
    n = int(np.searchsorted(ts, ts[0] + FORECAST * (1 + 1e-9), side="right"))
    truth = ys[:n:every]
    forecast = family.predict(eta, ys[0], ts[:n:every])
    return float(np.linalg.norm(forecast - truth) / np.linalg.norm(truth))


def main():
    """Train, forecast the new pendulums, write one JSON file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=("reference", "default"), required=True)
    parser.add_argument("--updates", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1029)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.threads == 1:  # read once, when JAX starts
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false"

    import numpy as np

    from pendula.dynamics import meta_fit

    with np.load(args.data) as data:
        ts, ys, new = data["ts"], data["ys"], data["new"]
    imported = time.process_time()
    marks = []
    family = meta_fit(
        records(ts, ys),
        config(args.mode, args.seed, args.updates),
        tell=lambda row: marks.append((row["index"], row["step"], time.process_time())),
    )
    trained = time.process_time()  # whole process so far
    updates = sum(stage["steps"] for stage in family.about["stages"])
    # what lies between two reports of one stage; compilation comes before the first
    pairs = [(a, b) for a, b in itertools.pairwise(marks) if a[0] == b[0]]
    took = sum(b[2] - a[2] for a, b in pairs)
    timed = sum(b[1] - a[1] for a, b in pairs)
    update = took / max(timed, 1)
    found = {
        "updates": updates,
        "update_process": update,
        "import_process": imported,
        "train_process": trained,
        # all that is neither import nor updates: preparation and compilation
        "compile_process": trained - imported - updates * update,
        "errors": [error(family, args.mode, ts, y, args.seed) for y in new],
    }
    args.out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
