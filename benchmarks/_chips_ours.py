"""Accuracies of many chips of one network: `monte_carlo`."""

from __future__ import annotations

import json
import os


for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import equinox as eqx  # noqa: E402 - threads are set first
import jax  # noqa: E402 - the same
import jax.numpy as jnp  # noqa: E402 - the same
from _timing import median_seconds, told  # noqa: E402 - the same

from pendula.hardware import is_right, monte_carlo, to_analog  # noqa: E402 - the same
from pendula.nn import Layers  # noqa: E402 - the same


def right(chip, batch):
    """Which images a chip gives their label."""
    return is_right(jax.vmap(chip)(batch[0]), batch[1])


def main():
    """Times a chip, and says the mean accuracy."""
    options, found = told(chips=100)
    weights = tuple(jnp.asarray(found[f"w{k}"]) for k in range(3))
    biases = tuple(jnp.asarray(found[f"b{k}"]) for k in range(3))
    sizes = (weights[0].shape[1], *(w.shape[0] for w in weights))
    net = Layers(sizes, activation="relu", key=jax.random.key(0))
    net = eqx.tree_at(lambda n: (n.weights, n.biases), net, (weights, biases))
    data = (jnp.asarray(found["x"]), jnp.asarray(found["y"].astype("int32")))
    twin = to_analog(net)
    run = lambda: monte_carlo(
        twin, right, data, jax.random.key(1), options.chips, (0.1,)
    )
    seconds = median_seconds(run, options.rounds) / options.chips
    out = {"seconds": seconds, "accuracy": float(run().mean[0])}
    options.out.write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    main()
