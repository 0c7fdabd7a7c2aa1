"""A whole fit with Pendula in a process of its own; prints one line of JSON.

python benchmarks/_ours_fit.py --seed 0
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
    parser.add_argument("--enough", type=float, default=None)
    args = parser.parse_args()

    import _problem as problem
    from _ours import Ours

    from pendula.train import AbstractCallback, StopTraining, run

    imported = time.perf_counter() - START
    enough = problem.ENOUGH if args.enough is None else args.enough
    training = Ours("rk4_38", args.seed, inner=problem.EVERY)
    found = {}

    class Enough(AbstractCallback):
        """Stops at the validation error asked for."""

        def __call__(self, state, row):
            training.state = state
            error = training.validation()
            if not found:
                found["first"] = time.perf_counter() - START
            found.update(validation=error, steps=row["step"])
            if error <= enough:
                raise StopTraining("enough")
            return state

    run(
        training.update,
        training.state,
        training.batch,
        [Enough()],
        num_steps=problem.MOST,
        log_every=problem.EVERY,
        inner=problem.EVERY,
    )
    seconds = time.perf_counter() - START
    print(json.dumps({"seconds": seconds, "import": imported, **found}))


if __name__ == "__main__":
    main()
