"""Times training steps of the network 2-2-2: our side of `test_depth_step.py` and of
part `speed` of study `depth`."""

from __future__ import annotations

import json
import os


for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import equinox as eqx  # noqa: E402 - threads are set first
import jax  # noqa: E402 - the same
import jax.numpy as jnp  # noqa: E402 - the same
import optax  # noqa: E402 - the same
from _timing import median_seconds, told  # noqa: E402 - the same

from pendula.depth import ImageNet, ImageNetConfig, apply_batch  # noqa: E402 - the same


class Ours:
    """Training steps: Euler, batch norm, SGD with momentum 0.9, cross entropy."""

    def __init__(self, xs, labels):
        net = ImageNet(ImageNetConfig(), key=jax.random.key(0))
        params, static = eqx.partition(net, eqx.is_inexact_array)
        self.size = sum(v.size for v in jax.tree.leaves(params))
        sgd = optax.sgd(0.1, momentum=0.9)
        self.state = (params, sgd.init(params), net.initial_state())
        self.batch = (jnp.asarray(xs), jnp.asarray(labels))

        def loss(params, running, xs, labels):
            ys, running = apply_batch(eqx.combine(params, static), xs, running)
            each = optax.softmax_cross_entropy_with_integer_labels(ys, labels)
            return each.mean(), running

        def update(state, xs, labels):
            params, opt, running = state
            (value, running), grads = jax.value_and_grad(loss, has_aux=True)(
                params, running, xs, labels
            )
            moves, opt = sgd.update(grads, opt)
            return (optax.apply_updates(params, moves), opt, running), value

        self.update = jax.jit(update, donate_argnums=0)

    def step(self):
        """One update; the loss before it."""
        self.state, value = self.update(self.state, *self.batch)
        return float(value)


def main():
    options, found = told()
    side = Ours(found["x"], found["y"])
    losses = [side.step() for _ in range(5)]
    seconds = median_seconds(side.step, options.rounds)
    out = {"seconds": seconds, "size": side.size, "losses": losses}
    options.out.write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    main()
