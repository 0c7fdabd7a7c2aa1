"""What a fitted model does with energy, and where its learned term was exercised."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np

from .._precision import precision
from ..diagnostics import Finding, drift
from ._energy import Friction
from ._energy_of import energy, kinetic, loses_energy
from ._field import terms_of
from ._fitted import Fitted
from ._forecast import slots_of
from ._lagrangian import Lagrangian
from ._prepare import Prepared
from ._reaction import Reaction


BINS = 40  # of the histogram of what a learned term has seen
DRIFT = 0.01  # of the energy's scale: more than that is said


def energies(fitted: Fitted, ys: np.ndarray) -> np.ndarray | None:
    """Energy of the middle member along states `"start time dim"`, `"start time"`;
    None where a force neither comes from an energy nor only dissipates."""
    model = fitted.model()
    with precision(fitted.dtype):
        values = _energies(model.field, jax.numpy.asarray(ys))
        return None if values is None else np.asarray(values, np.float64)


@eqx.filter_jit
def _energies(field: Any, ys: Any) -> Any:
    if energy(field, ys[0, 0]) is None:
        return None
    return jax.vmap(jax.vmap(lambda y: energy(field, y)))(ys)


@eqx.filter_jit
def _kinetics(field: Any, ys: Any) -> Any:
    return jax.vmap(jax.vmap(lambda y: kinetic(field, y)))(ys)


def energy_findings(fitted: Fitted, trial: Any) -> list[Finding]:
    r"""What the energy does along the held-out free runs: it must stay where no term
    takes it away, and must not rise where one does.

    The scale is the largest kinetic energy of those runs; the worst run counts.
    **Returns:** nothing where the model has no energy, or no run is finite.
    """
    whole = np.isfinite(trial.states).all((1, 2)) & np.isfinite(trial.refined).all(
        (1, 2)
    )
    if not whole.any():
        return []
    values = energies(fitted, trial.states[whole])
    refined = energies(fitted, trial.refined[whole])
    if values is None or refined is None:
        return []
    field = fitted.model().field
    with precision(fitted.dtype):
        scale = float(np.max(_kinetics(field, jax.numpy.asarray(trial.states[whole]))))
    if not scale > 0:
        return []
    losing = loses_energy(field)
    name, key = (
        ("the energy upwards (friction only takes it away)", "energy.rise")
        if losing
        else ("the energy (no term takes it away)", "energy.drift")
    )
    worst = None
    for ts, value, fine in zip(trial.ts[whole], values, refined, strict=True):
        if losing:  # the part that a dissipative force cannot explain
            value, fine = (x - np.minimum.accumulate(x) for x in (value, fine))
        found = drift(value, ts, scale=scale, refined=fine)
        if worst is None or found.largest > worst.largest:
            worst = found
    return [] if worst is None else [worst.finding(key, name, DRIFT)]


def visited(fitted: Fitted, prepared: Prepared) -> tuple[dict[str, Any], list[Any]]:
    """A histogram of what the first learned term saw in training, over its first
    input or its first two: `slot/visited`, edges `slot/x` (and `slot/y`); and
    (name, unit) of these axes."""
    model = fitted.model()
    slots = slots_of(model.field)
    if not slots:
        return {}, []
    friction = [t for t in terms_of(model.field) if isinstance(t, Friction)]
    states = prepared.states.ys
    turned = [t for t in terms_of(model.field) if isinstance(t, Lagrangian)]
    if friction and turned:  # as the joints see it
        bend = turned[0].body.joints(turned[0].n)
        states = np.concatenate(
            [half @ bend.T for half in np.split(states, 2, axis=-1)], axis=-1
        )
    columns = [states[..., i].ravel() for i in slots[0].takes]
    labels = [_state_axis(fitted, i) for i in slots[0].takes]
    if friction and friction[0].factor is slots[0]:
        columns, labels = [np.abs(columns[0])], [(f"|{labels[0][0]}|", labels[0][1])]
    if any(isinstance(t, Reaction) for t in terms_of(model.field)):  # of all nodes
        columns, labels = [states.ravel()], [("value at a node", labels[0][1])]
    us = prepared.train.us
    for j in slots[0].inputs:
        assert us is not None
        columns.append(us[..., j].ravel())
        labels.append((fitted.about["input_names"][j], ""))
    seen = np.isfinite(np.stack(columns)).all(0)
    columns = [c[seen] for c in columns[:2]]
    if not len(columns[0]):
        return {}, []
    bins = BINS if len(columns) == 1 else [BINS, BINS]
    counts, edges = np.histogramdd(np.stack(columns, axis=1), bins)
    out = {"slot/visited": counts, "slot/x": edges[0]}
    if len(edges) > 1:
        out["slot/y"] = edges[1]
    return out, labels


def _state_axis(fitted: Fitted, index: int) -> tuple[str, str]:
    """Name and unit of a state entry."""
    plan, units = fitted.plan, fitted.about["units"]
    name = plan.state_names[index]
    if index < plan.n:
        return name, units[plan.positions[index]]
    if index >= 2 * plan.n:
        return name, units[plan.first[index - 2 * plan.n]]
    channel = plan.velocities[index - plan.n]
    if channel is not None:
        return name, units[channel]
    unit = units[plan.positions[index - plan.n]]
    clock = fitted.about["time_unit"]
    return name, unit if clock in ("", "1") else f"{unit or '1'}/{clock}"
