"""Times Hessian-vector products of a network that a file describes: our side of
`test_hessian_product.py` and of part `speed` of study `curvature`."""

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

from pendula.diagnostics import HessianOperator  # noqa: E402 - the same


def mlp(weights, batch):
    """Mean square error of a tanh network; hidden layers are stored stacked."""
    first, bias, hidden, biases, last, end = weights
    h = jnp.tanh(batch[0] @ first.T + bias)
    for w, b in zip(hidden, biases, strict=True):
        h = jnp.tanh(h @ w.T + b)
    return jnp.mean((h @ last.T + end - batch[1]) ** 2)


class Conv(eqx.Module):
    """Cross-entropy of two convolutions with frozen norms and a linear layer."""

    norms: list

    def __call__(self, weights, batch):
        h = batch[0]
        for index, stride in enumerate((1, 2)):
            w, b, scale, shift = weights[4 * index : 4 * index + 4]
            h = jax.lax.conv_general_dilated(h, w, (stride, stride), ((1, 1), (1, 1)))
            mean, variance = self.norms[index]
            wide = lambda x: x.reshape(1, -1, 1, 1)
            h = (h + b[None] - wide(mean)) / jnp.sqrt(wide(variance) + 1e-5)
            h = jnp.tanh(h * wide(scale) + wide(shift))
        logits = jax.nn.log_softmax(h.mean((2, 3)) @ weights[8].T + weights[9])
        wanted = jax.nn.one_hot(batch[1], 10, dtype=logits.dtype)
        return -jnp.mean(jnp.sum(wanted * logits, axis=1))


def operator(net, found):
    """The operator of one case's file."""
    weights = [found[f"w{i}"] for i in range(sum(k[0] == "w" for k in found))]
    norms = [
        (found[f"mean{i}"], found[f"variance{i}"]) for i in (0, 1) if "mean0" in found
    ]
    loss = mlp if net == "mlp" else Conv(norms)
    return HessianOperator(loss, weights, (found["x"], found["y"]))


def main():
    options, found = told(("mlp", "conv"))
    op = operator(options.net, found)
    v = found["v"]
    product = op(v)
    seconds = median_seconds(lambda: op(v), options.rounds)
    out = {"seconds": seconds, "product": product.tolist()}
    options.out.write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    main()
