"""Times forward and backward passes of recurrent networks: our side of
`test_sequences.py` and of part `speed` of study `sequences`."""

from __future__ import annotations

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _timing import median_seconds, told

from pendula._tree import split_trainable
from pendula.diagnostics import cross_entropy
from pendula.sequences import recurrent_model


NETS = ("lem", "lipschitz", "lstm")


def main():
    options, found = told(NETS)
    kind, dt = options.net, float(found["dt"])
    settings = {} if kind == "lstm" else {"dt": dt}
    size, classes = found[f"{kind}.head"].T.shape
    model = recurrent_model(
        kind, found["us"].shape[2], size, classes, key=jax.random.key(0), **settings
    )
    inner = (lambda m: m.cell.inner) if kind == "lstm" else (lambda m: m.cell)
    for name, value in found.items():
        if not name.startswith(f"{kind}."):
            continue
        field = name.split(".", 1)[1]
        at = {
            "head": lambda m: m.head.weight_out,
            "head_bias": lambda m: m.head.bias_out,
        }.get(field, lambda m, field=field: getattr(inner(m), field))
        assert at(model).shape == value.shape, name
        model = eqx.tree_at(at, model, jnp.asarray(value))
    weights, rest = split_trainable(model)
    us, labels = jnp.asarray(found["us"]), jnp.asarray(found["labels"], jnp.int32)

    @jax.jit
    def both(weights, us, labels):
        def loss(weights):
            outs = jax.vmap(eqx.combine(weights, rest))(us)
            return jnp.mean(jax.vmap(cross_entropy)(outs, labels))

        return jax.value_and_grad(loss)(weights)

    def step():
        value, grads = jax.block_until_ready(both(weights, us, labels))
        return value, grads

    seconds = median_seconds(step, options.rounds)
    value, grads = step()
    norm = np.sqrt(sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(grads)))
    out = {"seconds": seconds, "loss": float(value), "norm": float(norm)}
    options.out.write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    main()
