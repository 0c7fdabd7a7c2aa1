"""Solves the problems of `_pinns_deepxde.py` with `pendula.solutions.solve`: our side
of `test_pinns.py` and of part `A7` of study `pinns`. Compiling counts."""

from __future__ import annotations

import json
import os
import time


for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)  # nothing is compiled beforehand

import numpy as np  # noqa: E402 - threads are set first
from _timing import told  # noqa: E402 - the same

from pendula.solutions import named_problem, solve  # noqa: E402 - the same


COEFFICIENT = {"burgers": "nu", "convection": "beta"}


def main():
    options, settings = told()
    name = str(settings["problem"])
    params = {COEFFICIENT[name]: float(settings[COEFFICIENT[name]])}
    cpu, wall = time.process_time(), time.perf_counter()
    solution = solve(
        named_problem(name, **params),
        tol=float(settings["tol"]),
        budget=float(settings["budget"]),
        seed=int(settings["seed"]),
        check=False,
    )
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    truth = settings["truth"]
    grid = settings["x"][None, :], settings["t"][:, None]
    gap = solution(*grid, outside="extrapolate") - truth  # also where it was stopped
    out = {
        "cpu": cpu,
        "wall": wall,
        "compile": solution.report.seconds_compile,
        "error": float(np.linalg.norm(gap) / np.linalg.norm(truth)),
        "converged": solution.report.converged,
    }
    options.out.write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    main()
