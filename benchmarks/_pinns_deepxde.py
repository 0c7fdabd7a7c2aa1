"""Solves Burgers' equation or a travelling sine with DeepXDE: a network of three hidden
layers of 20, 2540 points inside, 80 on the boundary and 160 at the start, Adam and then
L-BFGS, in float64 on one thread: the settings of its own example of Burgers' equation.
The peer's side of `test_pinns.py` and of part `A7` of study `pinns`."""

from __future__ import annotations

import json
import math
import os
import time


for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["DDE_BACKEND"] = "pytorch"
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # DeepXDE takes a GPU where it sees one

import deepxde as dde  # noqa: E402 - threads and backend are set first
import numpy as np  # noqa: E402 - the same
import torch  # noqa: E402 - the same
from _timing import told  # noqa: E402 - the same


def burgers(settings):
    """u_t + u u_x = nu u_xx on [-1, 1], 0 at both ends, from -sin pi x."""
    nu = float(settings["nu"])
    plane = space_time(-1.0, 1.0)

    def law(at, u):
        u_x, u_t = (dde.grad.jacobian(u, at, i=0, j=j) for j in (0, 1))
        return u_t + u * u_x - nu * dde.grad.hessian(u, at, i=0, j=0)

    start = dde.icbc.IC(plane, lambda at: -np.sin(np.pi * at[:, :1]), at_start)
    ends = dde.icbc.DirichletBC(plane, lambda at: 0.0 * at[:, :1], at_end)
    return plane, law, [ends, start], None


def convection(settings):
    """u_t + beta u_x = 0 on a circle, from sin x; `circle` 0: the ends agree by a term
    of the loss, 1: the network sees cos x and sin x."""
    beta, circle = float(settings["beta"]), bool(settings["circle"])
    plane = space_time(0.0, 2.0 * math.pi)

    def law(at, u):
        u_x, u_t = (dde.grad.jacobian(u, at, i=0, j=j) for j in (0, 1))
        return u_t + beta * u_x

    def seen(at):
        return torch.cat([torch.cos(at[:, :1]), torch.sin(at[:, :1]), at[:, 1:]], 1)

    start = dde.icbc.IC(plane, lambda at: np.sin(at[:, :1]), at_start)
    if circle:
        return plane, law, [start], seen
    return plane, law, [dde.icbc.PeriodicBC(plane, 0, at_end), start], None


def space_time(low, high):
    """[low, high] in space, [0, 1] in time."""
    space, span = dde.geometry.Interval(low, high), dde.geometry.TimeDomain(0.0, 1.0)
    return dde.geometry.GeometryXTime(space, span)


def at_end(_, on_boundary):
    """Points with x at an end."""
    return on_boundary


def at_start(_, on_initial):
    """Points with t = 0."""
    return on_initial


def build(settings):
    """The model, not trained."""
    laws = {"burgers": burgers, "convection": convection}
    plane, law, conditions, seen = laws[str(settings["problem"])](settings)
    inside, boundary, start = (int(n) for n in settings["points"])
    data = dde.data.TimePDE(
        plane,
        law,
        conditions,
        num_domain=inside,
        num_boundary=0 if seen else boundary,
        num_initial=start,
    )
    inputs = 3 if seen else 2
    net = dde.nn.FNN([inputs, 20, 20, 20, 1], "tanh", "Glorot normal")
    if seen:
        net.apply_feature_transform(seen)
    return dde.Model(data, net)


class Watch(dde.callbacks.Callback):
    """The error on the way, and the CPU time without that of looking."""

    def __init__(self, settings):
        super().__init__()
        self.every = int(settings["every"])
        grid = np.meshgrid(settings["x"], settings["t"])
        self.at = np.stack([side.ravel() for side in grid], -1)
        self.truth = settings["truth"].ravel()
        self.seen = []
        self.cpu = self.wall = 0.0
        self.iteration = 0

    def on_train_begin(self):
        self.resume()

    def on_epoch_end(self):
        """After a step of Adam, or a thousand of L-BFGS."""
        if self.model.train_state.step - self.iteration >= self.every:
            self.look()

    def on_train_end(self):
        if self.model.train_state.step > self.iteration:
            self.look()

    def resume(self):
        self.from_cpu, self.from_wall = time.process_time(), time.perf_counter()

    def look(self):
        """Stops the clock for as long as it takes."""
        self.cpu += time.process_time() - self.from_cpu
        self.wall += time.perf_counter() - self.from_wall
        gap = self.model.predict(self.at).ravel() - self.truth
        self.iteration = self.model.train_state.step
        self.seen.append(
            {
                "optimizer": self.model.opt_name,
                "iterations": self.iteration,
                "cpu": self.cpu,
                "wall": self.wall,
                "error": float(np.linalg.norm(gap) / np.linalg.norm(self.truth)),
            }
        )
        self.resume()


def main():
    options, settings = told()
    torch.set_num_threads(1)
    dde.config.set_default_float("float64")
    dde.config.set_random_seed(int(settings["seed"]))
    began = time.process_time()
    model = build(settings)
    model.compile("adam", lr=1e-3)
    building = time.process_time() - began
    watch = Watch(settings)
    model.train(iterations=int(settings["adam"]), callbacks=[watch], verbose=0)
    if int(settings["lbfgs"]):
        dde.optimizers.set_LBFGS_options(maxiter=int(settings["lbfgs"]))
        model.compile("L-BFGS")
        model.train(callbacks=[watch], verbose=0)
    out = {"building": building, "checkpoints": watch.seen}
    options.out.write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    main()
