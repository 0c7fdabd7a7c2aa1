"""torchdiffeq's side of the comparison, as its documentation shows it."""

from __future__ import annotations

import _problem as problem
import numpy as np
import torch
from torchdiffeq import odeint


# torchdiffeq's "rk4" is the 3/8 rule
METHODS = {"rk4_38": "rk4", "heun": "heun2", "dopri5": "dopri5"}


def field(layers):
    """The network with the given weights."""
    parts = []
    for weight, bias in layers:
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))
        parts += [linear, torch.nn.Tanh()]
    return torch.nn.Sequential(*parts[:-1])


class Torch:
    """A training: `step()` makes one update, the rest looks at it.

    `compiled`: whether the loss, solver and all, goes through `torch.compile`.
    """

    def __init__(self, name, seed=0, compiled=False):
        self.net = net = field(problem.weights(seed))
        times = torch.from_numpy(problem.TIMES.astype(np.float32))
        method = METHODS[name]
        tolerances = {"rtol": problem.RTOL, "atol": problem.ATOL}
        self.batch = torch.from_numpy(problem.training())
        self.held_out = torch.from_numpy(problem.validation())
        self.optimiser = torch.optim.Adam(
            self.net.parameters(), lr=problem.LEARNING_RATE
        )

        def loss(ys):
            # the whole batch is one state, as torchdiffeq means it
            made = odeint(
                lambda t, y: net(y), ys[:, 0], times, method=method, **tolerances
            )
            return torch.mean((made.transpose(0, 1) - ys) ** 2)

        self.loss = torch.compile(loss) if compiled else loss

    def step(self):
        """One update."""
        self.optimiser.zero_grad()
        value = self.loss(self.batch)
        value.backward()
        self.optimiser.step()
        return value

    def validation(self):
        """Root mean square error on the held-out trajectories."""
        with torch.no_grad():
            return float(torch.sqrt(self.loss(self.held_out)))

    def value_and_gradient(self):
        """The loss and its gradient, flat, layer by layer: weights, then biases."""
        self.optimiser.zero_grad()
        value = self.loss(self.batch)
        value.backward()
        grads = [p.grad.detach().numpy().ravel() for p in self.net.parameters()]
        return value.item(), np.concatenate(grads)

    def parameters(self):
        """All parameters, flat, in the order of the gradient."""
        values = [p.detach().numpy().ravel() for p in self.net.parameters()]
        return np.concatenate(values)
