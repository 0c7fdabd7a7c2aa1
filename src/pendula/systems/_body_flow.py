"""Wakes of bodies: computed, and as snapshots that are kept."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from .._errors import DivergedError
from .._precision import precision
from ..data import Snapshots
from ._body_flow_config import BodyFlowConfig
from ._body_shapes import smooth_mask
from ._cylinder_numbers import WakeNumbers
from ._kept_wake import (
    kept_snapshots,
    stretch_numbers,
    wake_attrs,
    warn_unsettled,
)
from ._penalised_flow import PenalisedFlow, march


_LARGEST_DRAG = 20.0
_UP = 1.0  # D/U: the force of the start itself is over
_BEHIND = 1.5  # D: where the eddy of the start is
_BODY = 0.5  # of the mask from which a node belongs to the body


@dataclasses.dataclass(frozen=True)
class BodyFlowRun:
    """A computed flow: vorticity in the window at `ts`, `"time x y"` [U/D], and C_D,
    C_L at the beginning of every step, at `step_ts` `"step"`, from rest on."""

    config: BodyFlowConfig
    ts: Float[np.ndarray, " time"]
    vorticity: Float[np.ndarray, "time x y"]
    step_ts: Float[np.ndarray, " step"]
    drag: Float[np.ndarray, " step"]
    lift: Float[np.ndarray, " step"]

    def numbers(
        self, start: float | None = None, end: float | None = None
    ) -> WakeNumbers:
        """Frequency and forces from `start` to `end` (default: the snapshots').

        **Raises:** `DataError` for a stretch without steps.
        """
        return stretch_numbers(self, start, end)


def simulate_body_flow(config: BodyFlowConfig | None = None) -> BodyFlowRun:
    """The flow past a body from the uniform stream on.

    **Arguments:** `config`: default a circle at Re = 100.
    **Raises:** `DivergedError` when a force is not a number or far too large.
    **Source:** as for `PenalisedFlow`.

    ```python
    >>> from pendula.systems import BodyFlowConfig, simulate_body_flow
    >>> config = BodyFlowConfig(cells=6, dt=0.025, start=0.0, num=11)
    >>> run = simulate_body_flow(config)
    >>> run.vorticity.shape, float(run.ts[-1]), bool(1 < run.drag[-1] < 4)
    ((11, 49, 25), 2.0, True)

    ```
    """
    config = BodyFlowConfig() if config is None else config
    forces, kept = [], []
    with precision(np.dtype(config.dtype)):
        flow = PenalisedFlow(config)
        where = ((config.upstream + _BEHIND) / config.length, 0.5)
        u = flow.start(config.push, where)
        field = flow.vorticity(u)
        before = config.spacings_before
        for k in range(before + config.num):
            if k >= before:
                kept.append(np.asarray(field[config.kept]))
            if k + 1 < before + config.num:
                u, force, field = march(flow, u, config.steps_between)
                forces.append(np.asarray(force, np.float64))
                _check(forces[-1], k * config.spacing, config)
    found = np.concatenate(forces) if forces else np.zeros((0, 2))
    ts = np.arange(len(found)) * config.step
    return BodyFlowRun(config, config.times, np.stack(kept), ts, *found.T)


def body_wake(
    config: BodyFlowConfig | None = None, *, again: bool = False
) -> Snapshots:
    """Snapshots of the flow past a body; computed once, then read from the cache.

    **Shapes and units**: values `"time x y 1"` float32: vorticity in U/D; x and y in
    the body's width D, times in D/U. The mask is False inside of the body.
    **Arguments:** `config`: default a circle at Re = 100; `again`: compute even if it
    is in the cache.
    **Returns:** `Snapshots`; `attrs` hold Re, the Strouhal number, forces and settings.
    Warns (`DataWarning`) where the swings of the lift still grow or die out.
    **Raises:** `DivergedError` as for `simulate_body_flow`.
    **Source:** as for `PenalisedFlow`.

    ```python
    >>> from pendula.systems import BodyFlowConfig, SquareBody, body_wake
    >>> config = BodyFlowConfig(SquareBody(), cells=6, dt=0.025, start=1.0, num=6)
    >>> data = body_wake(config)
    >>> data.values.shape, round(data.dt, 6), data.attrs["body"]
    ((6, 49, 25, 1), 0.2, 'square 0.3')

    ```
    """
    config = BodyFlowConfig() if config is None else config
    make = lambda: _snapshots(simulate_body_flow(config))
    return warn_unsettled(kept_snapshots("bodies", config.key(), again, make))


def _check(forces: np.ndarray, t: float, config: BodyFlowConfig) -> None:
    bad = ~np.isfinite(forces).all(axis=1)
    if t >= _UP:
        bad |= np.abs(forces[:, 0]) > _LARGEST_DRAG
    if bad.any():
        k = int(np.argmax(bad))
        raise DivergedError(
            f"the flow blew up at t = {t + k * config.step:.4g}: C_D is "
            f"{forces[k, 0]:.3g}. dt = {config.step:.4g} is too long for "
            f"{config.cells} cells a width, or the grid too coarse for Re = "
            f"{config.re:g}. Take half the dt, or more cells."
        )


def _snapshots(run: BodyFlowRun) -> Snapshots:
    config = run.config
    x, y = (
        nodes[part]
        for nodes, part in zip((config.x, config.y), config.kept, strict=True)
    )
    fluid = np.ones((len(x), len(y)), bool)
    if config.body is not None:
        fluid = smooth_mask(config.body, x, y, config.cell) < _BODY
    return Snapshots.of(
        run.ts,
        run.vorticity.astype(np.float32),
        axes={"x": x, "y": y},
        mask=fluid,
        names=("vorticity",),
        units=("U/D",),
        axis_units=("D", "D"),
        time_unit="D/U",
        attrs=_attrs(run),
        licence="generated",
        origin={"made by": "pendula.systems.body_wake", "key": config.key()},
    )


def _attrs(run: BodyFlowRun) -> dict[str, Any]:
    """What is known of the set, as numbers and words that a file can hold."""
    config = run.config
    settings: dict[str, Any] = {
        "body": "none" if config.body is None else config.body.label(),
        "Re": float(config.re),
        "cells": config.cells,
        "length": float(config.length),
        "width": float(config.width),
        "penalty": float(config.penalty),
        "dt": config.step,
    }
    found = run.numbers() if len(run.ts) > 1 else None
    return wake_attrs(settings, found)
