"""The numbers of a family's page and of an adaptation's, from the fitted objects."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import PendulaError
from .._machine import cores, revision, versions
from .._precision import cast, precision
from .._source import citations
from .._tree import sources_of
from ..data import Batch, Trajectories, noise_estimate, summary
from ..diagnostics import intrinsic_dimension
from ..dynamics import (
    STARTS,
    SYSTEMS,
    Adapted,
    Family,
    Reaction,
    energy,
    systems_of,
    terms_of,
)
from ..nn import bind


LINES = 7  # members whose law is drawn
GRID = 121


def free_runs(
    family: Family, etas: Any, data: Trajectories, noise: float | None = None
) -> np.ndarray:
    """Observations `"traj time obs"` of the members `etas` `"traj eta"` from the start
    of each trajectory (`Family.first_states`), along its times and inputs; NaN where
    there is no sample and where the rollout failed. `noise` of the measurement, as for
    an adaptation."""
    data = family.match(data)
    y0 = family.first_states(data, noise, etas)
    usual = family.about["every"] * family.about["sampling"]
    refine = max(1, int(np.ceil(np.diff(data.ts, axis=1).max() / usual - 1e-6)))
    dtype = family.dtype
    with precision(dtype):
        batch = jax.tree.map(jnp.asarray, data.full(dtype))
        out = _runs(
            cast(family.model, dtype),
            jnp.asarray(etas, dtype),
            jnp.asarray(y0, dtype),
            batch,
            refine,
        )
        out = np.array(out, np.float64)
    out[np.arange(out.shape[1])[None] >= data.lengths[:, None]] = np.nan
    return out


@eqx.filter_jit
def _runs(model: Any, etas: Any, y0: Any, batch: Batch, refine: int) -> Any:
    def one(eta: Any, y: Any, item: Batch) -> Any:
        member = bind(model, eta)
        roll = member.steps(y, item.t0, item.dts, item.us, refine=refine)
        return jax.vmap(member.observe)(roll.ys)

    return jax.vmap(one)(etas, y0, batch)


def run_error(family: Family, runs: np.ndarray, data: Trajectories) -> float:
    """Root mean square error of free runs, in spreads of the channels; infinite where
    one failed at a measured sample."""
    data = family.match(data)
    off = (runs - data.ys) / np.asarray(family.about["spread"])
    off = off[data.mask]
    return float(np.sqrt(np.mean(off**2))) if np.isfinite(off).all() else np.inf


def record_noise(family: Family, data: Trajectories, noise: Any = None) -> float:
    """Size of the noise of records, in spreads of the channels: the given one, else
    estimated."""
    data = family.match(data)
    sd = noise_estimate(data) if noise is None else noise
    share = np.nan_to_num(sd) / np.asarray(family.about["spread"])
    return float(np.sqrt(np.mean(share**2)))


def eta_deviations(family: Family) -> np.ndarray:
    """Standard deviations `"system eta"` of the training etas, from what their
    trajectories say and the family's prior."""
    prior = np.linalg.inv(family.covariance)
    variance = family.about["variance"]
    known = np.nan_to_num(family.fisher) / variance + prior
    return np.sqrt(np.array([np.diag(np.linalg.inv(one)) for one in known]))


def law_curves(family: Family, etas: np.ndarray) -> dict[str, Any]:
    """The learned rate over the first coordinate for some members: accelerations at
    rest of second-order systems, else the rate of the first entry; what is not drawn
    is in the middle of its range. On a line of nodes: the rate of a node, all having
    the same value."""
    plan, about = family.plan, family.about
    low, high = np.asarray(about["low"]), np.asarray(about["high"])
    state = 0.5 * (low + high)
    n = plan.n
    state[n : 2 * n] = 0.0
    states = np.tile(state, (GRID, 1))
    entry = n if n else 0
    if _learned(family) == "reaction":
        x = np.linspace(low.min(), high.max(), GRID)
        states[:] = x[:, None]  # then nothing diffuses
        entry = len(state) // 2  # no end, which may be held
    else:
        x = np.linspace(low[0], high[0], GRID)
        states[:, 0] = x
    ctrl = int(about.get("ctrl") or 0)
    dtype = family.dtype
    with precision(dtype):
        values = _rates(
            cast(family.model, dtype),
            jnp.asarray(etas, dtype),
            jnp.asarray(states, dtype),
            jnp.zeros(ctrl, dtype) if ctrl else None,
        )
        values = np.asarray(values[..., entry], np.float64)
        curves = {"x": x, "values": values}
        if n and _learned(family) == "energy":
            model = cast(family.model, dtype)
            levels = _levels(
                model, jnp.asarray(etas, dtype), jnp.asarray(states, dtype)
            )
            if levels is not None:
                levels = np.asarray(levels, np.float64)
                curves["potential"] = levels - levels[:, GRID // 2, None]
    return curves


@eqx.filter_jit
def _rates(model: Any, etas: Any, states: Any, u: Any) -> Any:
    def one(eta: Any, y: Any) -> Any:
        return bind(model, eta).field(jnp.zeros((), y.dtype), y, u, None)

    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(etas, states)


@eqx.filter_jit
def _levels(model: Any, etas: Any, states: Any) -> Any:
    """Energies at rest `"system state"`; None for a field that has none."""
    if energy(bind(model, etas[0]).field, states[0]) is None:
        return None
    one = lambda eta, y: energy(bind(model, eta).field, y)
    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(etas, states)


def family_report(
    family: Family,
    data: Trajectories,
    command: str = "",
    decisions: Sequence[dict[str, str]] = (),
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the page of a family shows: a report and its arrays.

    **Arguments:** `data`: what it was trained on; `decisions`: further rows of what
    was decided.
    """
    about = family.about
    rows, _ = systems_of(data)
    where = np.zeros(data.num, int)
    for k, mine in enumerate(rows):
        where[mine] = k
    noise = 0.0 if about["config"].get("exact") else None
    runs = free_runs(family, family.etas[where], data, noise)
    errors = [run_error(family, runs[r], data.select(r)) for r in rows]
    order = _by_first_direction(family.etas)
    shown = order[np.unique(np.linspace(0, len(order) - 1, LINES).round().astype(int))]
    arrays = {
        "family/etas": family.etas,
        "family/sd": eta_deviations(family),
        "law/systems": shown,
        **{
            f"law/{key}": value
            for key, value in law_curves(family, family.etas[shown]).items()
        },
    }
    if not about["ctrl"]:
        # what a check sweeps: the first and the last of a line of systems, the middle
        firsts = family.first_states(data, noise)
        swept = order[np.unique([0, len(order) // 2, len(order) - 1])]
        begins = np.stack([firsts[rows[k][0]] for k in swept])
        good = np.isfinite(begins).all(axis=1)
        if good.any():
            arrays |= {STARTS: begins[good], SYSTEMS: swept[good]}
    if about.get("params") is not None:
        arrays["family/params"] = np.array(about["params"], float)
    told = summary(data)
    return {
        "format": 1,
        "kind": "family",
        "title": f"A family of {len(family.etas)} systems: {_names(about, data)}",
        "data": told,
        "decisions": [*decisions, *told["decisions"]],
        "model": _model(family),
        "training": _training(about),
        "family": {
            "labels": list(family.labels),
            "param_names": list(about.get("param_names") or ()),
            "errors": errors,
            "constants": _constants(family),
            "dimension": [
                *_dimension(family),
                *family.step_lines,
                *family.law_lines,
            ],
            "law": _law_words(family),
            "horizon": float(np.nanmax(data.ts) - np.nanmin(data.ts)),
        },
        "reproduce": reproduce_facts(family, command),
    }, arrays


def _constants(family: Family) -> dict[str, list[list[float]]]:
    """Value and standard deviation of the constants that vary, system by system."""
    out: dict[str, list[list[float]]] = {}
    for eta, sd in zip(family.etas, eta_deviations(family), strict=True):
        for name, pair in family.constants(eta, np.diag(sd**2)).items():
            out.setdefault(name, []).append(list(pair))
    return out


def constants_text(constants: dict[str, Any]) -> str:
    """`k = 2.94 ± 0.01, ..`."""
    from ..report import number

    return ", ".join(
        f"{name} = {number(value, 4)} ± {number(sd, 2)}"
        for name, (value, sd) in constants.items()
    )


def adapted_report(
    found: Sequence[Adapted],
    runs: np.ndarray,
    data: Trajectories,
    command: str = "",
    decisions: Sequence[dict[str, str]] = (),
    noise: float | None = None,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the page of an adaptation shows: a report and its arrays.

    **Arguments:** `found`: one a system of `data`; `runs`: of `free_runs`; `noise`: of
    the measurement, as for an adaptation.
    """
    family = found[0].family
    data = family.match(data)
    arrays: dict[str, np.ndarray] = {
        "family/etas": family.etas,
        "adapted/etas": np.array([one.eta for one in found]),
        "adapted/sd": np.array([np.sqrt(np.diag(one.covariance)) for one in found]),
    }
    systems = []
    for k, (one, rows) in enumerate(zip(found, systems_of(data)[0], strict=True)):
        first, n = int(rows[0]), int(data.lengths[rows[0]])
        arrays |= {
            f"history/{k}": _history(one),
            f"run/{k}/ts": data.ts[first, :n],
            f"run/{k}/mean": runs[first, :n],
            f"run/{k}/truth": np.where(data.mask, data.ys, np.nan)[first, :n],
        }
        systems.append(
            adapted_row(one)
            | {
                "trajectory": data.labels[first],
                "forecast_error": run_error(family, runs[rows], data.select(rows)),
                "noise": record_noise(family, data.select(rows), noise),
            }
        )
    told = summary(data)
    return {
        "format": 1,
        "kind": "adapted",
        "title": f"Adapted: {', '.join(one.label for one in found[:4])}"
        + (", ..." if len(found) > 4 else ""),
        "data": told,
        "decisions": [*decisions, *told["decisions"]],
        "model": _model(family),
        "adapted": {
            "labels": list(family.labels),
            "systems": systems,
        },
        "reproduce": reproduce_facts(family, command),
    }, arrays


def adapted_row(one: Adapted) -> dict[str, Any]:
    """One adapted system, JSON-able."""
    return {
        "system": one.label,
        "eta": one.eta.tolist(),
        "standard_deviation": np.sqrt(np.diag(one.covariance)).tolist(),
        "constants": {k: list(pair) for k, pair in one.constants.items()},
        "covariance": one.covariance.tolist(),
        "identified": one.identified,
        "extrapolating": one.extrapolating,
        "extrapolation": list(one.extrapolation),
        "converged": one.converged,
        "iterations": one.iterations,
        "history": _history(one).tolist(),
        "singular_values": one.singular_values.tolist(),
        "condition": one.condition,
        "share": one.share,
        "rmse": one.rmse.tolist(),
        "channels": list(one.family.about["names"]),
        "units": list(one.family.about["units"]),
        "seconds": one.seconds,
    }


def _history(one: Adapted) -> np.ndarray:
    """The objective up to the last iteration that was done."""
    return one.history[: one.iterations + 1] if one.converged else one.history


def _by_first_direction(etas: np.ndarray) -> np.ndarray:
    """Systems in order along the direction in which etas vary most."""
    centred = etas - etas.mean(axis=0)
    return np.argsort(centred @ np.linalg.svd(centred)[2][0])


def _names(about: dict[str, Any], data: Trajectories) -> str:
    files = [Path(str(f.get("path"))).name for f in data.origin.get("files") or []]
    text = ", ".join(about["names"][:3])
    if not files:
        return text
    return f"{text} in {', '.join(files[:3])}{', ...' if len(files) > 3 else ''}"


def _model(family: Family) -> dict[str, Any]:
    about = family.about
    return {
        "head": about["config"]["head"],
        "mode": about["mode"],
        "size": family.size,
        "parameters": about["weights"],
        "state": about["state"],
        "learn": _learned(family),
        "variance": about["variance"],
    }


def _learned(family: Family) -> str:
    """What the network stands for, `auto` resolved."""
    learn = str(family.about["config"]["model"]["learn"])
    if learn != "auto":
        return learn
    if family.plan.n:
        return "force"
    found = terms_of(family.model.field)
    return "reaction" if any(isinstance(t, Reaction) for t in found) else "field"


def _training(about: dict[str, Any]) -> dict[str, Any]:
    phases = [
        {"name": row["stage"], **{k: row[k] for k in ("steps", "seconds", "reason")}}
        for row in about["stages"]
    ]
    return {"phases": phases, "seconds": {"total": about["seconds"]}}


def _dimension(family: Family) -> list[str]:
    """How many numbers tell the systems apart, sentence by sentence."""
    chosen = family.size_lines
    try:
        found = intrinsic_dimension(family.etas, family.fisher)
    except PendulaError as error:
        return [*chosen, f"The number of directions of eta was not counted: {error}"]
    return [*chosen, *found.text.splitlines()]


def _law_words(family: Family) -> dict[str, str]:
    """What is drawn of the law: names and units of both axes, and the rest."""
    about, plan = family.about, family.plan
    state, time = about["state"], about["time_unit"]
    channel = plan.positions[0] if plan.n else plan.first[0]
    unit = about["units"][channel]
    if plan.n and plan.canonical:
        what, of = f"rate of the {state[plan.n]}", ""
    elif plan.n:
        what, of = f"acceleration of {state[0]}", f"{unit or '1'}/{time}²"
    else:
        what, of = f"rate of {state[0]}", f"{unit or '1'}/{time}"
    words = []
    if plan.n:
        words.append("at rest")
    name = state[0]
    if _learned(family) == "reaction":
        name, what = "value at a node", "rate of a node"
        words.append("the same everywhere")
    elif plan.dim > (2 if plan.n else 1):
        words.append("everything else in the middle of its range")
    return {
        "x": name,
        "x_unit": unit,
        "y": what,
        "y_unit": of,
        "energy_unit": f"({unit or '1'}/{time})²",
        "where": ", ".join(words),
    }


def reproduce_facts(family: Family, command: str) -> dict[str, Any]:
    """What is needed to make a page again: command, settings, versions, sources."""
    return {
        "command": command,
        "config": family.about["config"],
        "versions": versions(),
        "seed": family.about["config"]["seed"],
        "platform": platform.platform(),
        "device": str(jax.devices()[0]),
        "cpus": cores(),
        "revision": revision(),
        "citations": citations(sources_of(family.model)),
    }
