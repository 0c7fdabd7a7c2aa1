"""Learning the energy of bars from records of their motion."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import DivergedError
from .._precision import to_host
from .._tree import digest, num_parameters, split_trainable
from ..data import Trajectories
from ..systems import bar_names
from ._bar_chain import BarChain, BarWorld
from ._bars import AbstractBarEnergy, ElasticBars
from ._bars_config import BarsConfig
from ._bars_intervals import BarIntervals
from ._bars_machine import warn_of_ends
from ._bars_records import bar_model, bar_records, visited, warn_of_rates
from ._bars_stages import bar_network, beginning, classical_laws, on_clips
from ._chain_records import Records
from ._chain_stages import Loop
from ._config import to_dict
from ._fitted import Fitted
from ._layout import layout
from ._prepare import spread_of


def fit_bars(
    data: Trajectories,
    world: BarWorld,
    config: BarsConfig | None = None,
    *,
    first: bool = True,
    last: bool = True,
    teacher: AbstractBarEnergy | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    tell: Callable[[dict[str, Any]], None] | None = None,
) -> Fitted:
    r"""Learn the elastic energy of a chain of bars.

    $$ \min_\theta \sum_{clips} \sum_t |W (u_\theta(t) - u(t))|^2 $$

    From the classical law of three constants, found by Levenberg-Marquardt on whole
    records, the network takes over; then it is trained on clips whose length grows.

    **Arguments:** `data` of `pendula.systems.bar_record`, all records on the same
    times; `world`: masses and loads of the records (training without damping and
    contact as a rule); `first`, `last`: which ends were held; `teacher`: an energy
    that the network is taught instead of the classical law, as a large network is to a
    small, fast one; `out`: a run folder; with `resume` a killed training goes on from
    its last checkpoint.
    **Returns:** `Fitted`, whose `model().field.force` is the `BarChain`: replace its
    `world`, `first`, `last` for another chain of any number of bars.
    **Raises:** `DataError`, `ConfigError` for records that cannot be used,
    `DivergedError` when no member is finite. Warns of rates that are none of the
    positions, and of an end that is not held as is said.
    **Source:** Wang 2023, section 3.3; the beginning is ours.
    """
    config = BarsConfig() if config is None else config
    began = time.perf_counter()
    records = bar_records(data)
    train = records.until(config.span)
    warn_of_rates(records, float(world.radius))
    warn_of_ends(data, (first, last), float(world.radius))
    ends: dict[str, Any] = {"first": first, "last": last}
    own = ends | {"taught": teacher is not None}
    if teacher is not None:
        own["teacher"] = digest(jax.tree.map(np.asarray, teacher))
    loop = Loop.opened(out, resume, tell, config, world, data, **own)
    outcomes: list[dict[str, Any]] = []
    law = None if teacher is None else jax.tree.map(jnp.asarray, teacher)
    if config.start == "law" and teacher is None:
        (law,), outcomes = classical_laws([train], world, config, ends, loop)
    members = []
    for k in range(config.members):
        seed = config.seed + k
        energy = bar_network(config, seed)
        chain = BarChain(energy, world, rule=config.rule, **ends)
        if config.start_steps and config.start != "none":
            chain, told = beginning(chain, law, train, config, seed, loop)
            outcomes.append(told)
        if config.steps:
            chain, told = on_clips(chain, train, records, config, seed, loop)
            outcomes.append(told)
        members.append(to_host(chain))
    good = [
        all(np.isfinite(x).all() for x in jax.tree.leaves(split_trainable(m)[0]))
        for m in members
    ]
    if not any(good):
        raise DivergedError(
            "no member of the ensemble is finite after training. Lower lr, or begin "
            "with the classical law."
        )
    stacked = jax.tree.map(lambda *xs: np.stack(xs), *members)
    model = bar_model(stacked, records.count, config.substeps)
    about = _about(data, records, config, outcomes, members[0])
    pairs = visited(train).reshape(-1, 3)
    about["visited"] = np.stack([pairs.min(0), pairs.max(0)], axis=1).tolist()
    if len(members) > 1 and all(good):
        # samples that teach nothing are left to judge them by
        found = BarIntervals.of(members, train, substeps=config.substeps)
        about["bar_intervals"] = dataclasses.asdict(found)
    about["seconds"] = time.perf_counter() - began
    if isinstance(law, ElasticBars):
        about["law"] = np.exp(np.asarray(law.stiffness, np.float64)).tolist()
    return Fitted(model, about)


def _about(
    data: Trajectories,
    records: Records,
    config: BarsConfig,
    outcomes: list[dict[str, Any]],
    chain: BarChain,
) -> dict[str, Any]:
    """The record of a fit, as that of any model of motion."""
    names = bar_names(records.count, rates=True)
    n = 3 * records.count
    kinds = ["second"] * n + ["velocity"] * n
    plan = layout(names, kinds, {n + k: k for k in range(n)})
    step = float(np.median(np.diff(records.ts)))
    return {
        "members": config.members,
        "dtype": "float32",
        "method": "adam",
        "names": list(names),
        "units": list(data.units),
        "angle": [False] * len(names),
        "time_unit": data.time_unit,
        "input_names": [],
        "input_kind": data.input_kind,
        "licence": data.licence,
        "layout": plan.to_dict(),
        "state": list(plan.state_names),
        "terms": [
            "learned energy of neighbouring bars, invariant to motions of the plane "
            f"(group {config.group}, rule {config.rule}, {config.depth} x "
            f"{config.width})"
        ],
        "parameters": num_parameters(chain),
        "every": 1,
        "step": step,
        "period": 0.0,
        "history": min(16 * step, 0.5 * float(records.ts[-1])),
        "spread": spread_of(records.ys).tolist(),
        "noise": [0.0] * len(names),
        "config": to_dict(config),
        "seed": config.seed,
        "train_end": min(config.span, float(records.ts[-1])),
        "stages": outcomes,
    }
