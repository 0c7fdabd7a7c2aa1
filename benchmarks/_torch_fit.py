"""A whole fit with torchdiffeq in a process of its own; prints one line of JSON.

python benchmarks/_torch_fit.py --seed 0 --threads 1
"""

from __future__ import annotations

import argparse
import json
import time


START = time.perf_counter()


def main() -> None:
    """Train until the validation error is low enough."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--enough", type=float, default=None)
    args = parser.parse_args()

    import _problem as problem
    import torch
    from _torch import Torch

    imported = time.perf_counter() - START
    torch.set_num_threads(args.threads)
    enough = problem.ENOUGH if args.enough is None else args.enough
    training = Torch("rk4_38", args.seed)
    found = {}
    for step in range(1, problem.MOST + 1):
        training.step()
        if step % problem.EVERY:
            continue
        if not found:
            found["first"] = time.perf_counter() - START
        found.update(validation=training.validation(), steps=step)
        if found["validation"] <= enough:
            break
    seconds = time.perf_counter() - START
    print(json.dumps({"seconds": seconds, "import": imported, **found}))


if __name__ == "__main__":
    main()
