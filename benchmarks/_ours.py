"""Pendula's side of the comparison, through its public names only."""

from __future__ import annotations

import _problem as problem
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from pendula.nn import MLP
from pendula.solve import integrate, rollout_steps, scheme
from pendula.train import TrainState, gradient_step


def net(layers):
    """The network with the given weights."""
    # the weights are given: only the skeleton is made, nothing is drawn
    make = lambda: MLP(2, 2, width=32, depth=2, key=jax.random.key(0))
    blank = eqx.filter_eval_shape(make)
    (w0, b0), (w1, b1), (w2, b2) = layers
    where = lambda m: (
        m.weight_in,
        m.bias_in,
        m.weight_hidden,
        m.bias_hidden,
        m.weight_out,
        m.bias_out,
    )
    given = (w0, b0, w1[None], b1[None], w2, b2)
    return eqx.tree_at(where, blank, jax.device_put(given))


def predictor(name):
    """`predict(net, y0) -> ys`, one trajectory, by a scheme of fixed step (one step
    a sample) or `"dopri5"` with tolerances."""
    times = problem.TIMES
    if name == "dopri5":
        return lambda model, y0: (
            integrate(
                lambda t, y, u, c: model(y),
                y0,
                times,
                solver="dopri5",
                rtol=problem.RTOL,
                atol=problem.ATOL,
                max_steps=256,
            ).ys
        )
    method = scheme(name)
    dts = np.diff(times).astype(np.float32)
    zero = np.zeros((), np.float32)
    return lambda model, y0: (
        rollout_steps(lambda t, y, u, c: model(y), y0, zero, dts, scheme=method).ys
    )


def loss_function(name, static):
    """`loss(params, batch, key)`: the mean square of all deviations."""
    predict = predictor(name)

    def loss(params, ys, key):
        model = eqx.combine(params, static)
        made = jax.vmap(predict, in_axes=(None, 0))(model, ys[:, 0])
        return jnp.mean((made - ys) ** 2)

    return loss


class Ours:
    """A training: `step()` makes one update, the rest looks at it."""

    def __init__(self, name, seed=0, inner=1):
        params, static = eqx.partition(net(problem.weights(seed)), eqx.is_inexact_array)
        self.loss = loss_function(name, static)
        self.batch = jax.device_put(problem.training())
        self.held_out = jax.device_put(problem.validation())
        transform = optax.adam(problem.LEARNING_RATE)
        self.update = gradient_step(self.loss, transform, inner=inner)
        opt = jax.jit(transform.init)(params)
        state = TrainState.start(params, opt, jax.random.key(0))
        self.state = state
        self.inner = inner
        self._error = jax.jit(lambda p, ys: jnp.sqrt(self.loss(p, ys, state.key)))

    def step(self):
        """`inner` updates, finished."""
        self.state, info = self.update(self.state, self.batch)
        jax.block_until_ready(self.state.params)
        return info

    def validation(self):
        """Root mean square error on the held-out trajectories."""
        return float(self._error(self.state.params, self.held_out))

    def value_and_gradient(self):
        """The loss and its gradient, flat, layer by layer: weights, then biases."""
        state = self.state
        value, grads = jax.jit(jax.value_and_grad(self.loss))(
            state.params, self.batch, state.key
        )
        return float(value), flat(grads)

    def parameters(self):
        """All parameters, flat, in the order of the gradient."""
        return flat(self.state.params)


def flat(tree):
    """Weights and biases, layer by layer, as one NumPy vector."""
    parts = [
        tree.weight_in,
        tree.bias_in,
        tree.weight_hidden,
        tree.bias_hidden,
        tree.weight_out,
        tree.bias_out,
    ]
    return np.concatenate([np.asarray(part).ravel() for part in parts])
