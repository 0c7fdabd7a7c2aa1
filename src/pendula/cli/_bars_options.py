"""From the options of `pendula fit` to how the energy of bars is learned."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from .._errors import ConfigError
from ._fit_options import (
    ModelOptions,
    TrainOptions,
    _file,
    _merge,
    _overrides,
    _plain_options,
    _preset,
)


if TYPE_CHECKING:
    from ..data import Trajectories
    from ..dynamics import BarsConfig, BarsMachine

BARS_PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "small": {
        "width": 8,
        "depth": 2,
        "start_steps": 200,
        "steps": 4,
        "longest": 8,
    },
    "published": {},  # filled in where it is asked for
}
USED = ("width", "depth", "members", "steps", "minutes", "seed", "validation")
STEP = 2e-3  # s, the longest step of the leapfrog
HELD_OUT = 0.2  # share of a record that is not longer than the recipe's span


def build_bars_config(
    data: Trajectories, model: ModelOptions, train: TrainOptions
) -> tuple[BarsConfig, BarsMachine, list[dict[str, str]]]:
    """How to learn, of which machine, and what was decided.

    **Raises:** `ConfigError` naming the option or the path of the setting,
    `DataError` for a record that cannot be used.
    """
    from ..dynamics import BarsConfig, BarsMachine, from_dict, to_dict

    _refuse(model, train)
    _refuse_pushed(data)
    settings = _preset(train.preset, BARS_PRESETS, "bars have no such preset")
    if train.preset == "published":
        settings = to_dict(BarsConfig.published())
    _merge(settings, _file(train.config))
    plain = _plain_options(model, train)
    share = plain.pop("validation", None)
    for table in ("model", "train"):
        _merge(settings, plain.pop(table, {}))
    _merge(settings, plain)
    _merge(settings, _overrides(train.settings))
    told = settings.pop("machine", {})
    if not isinstance(told, dict):
        raise ConfigError("machine must be a table, as in --set machine.mass=2.5e-3.")
    machine, why = _machine(data, from_dict(told, BarsMachine, "machine"), told)
    decisions = [
        _row(
            "bars",
            f"{data.dim // 6}, held {machine.held}",
            "names of the channels; bars that stay are held",
            "--channels NAME,... --set machine.last=false",
        ),
        _row("masses and loads", _loads(machine), why, "--set machine.mass=2.5e-3"),
    ]
    begin, end = float(data.ts[0, 0]), float(data.ts[0, data.lengths[0] - 1])
    if "span" not in settings:
        settings["span"], row = _span(end - begin, share)
        decisions.append(row)
    elif share is not None:
        raise ConfigError("--validation and span say the same. Leave one out.")
    if "substeps" not in settings:
        frame = float(max(abs(t) for t in _steps(data)))
        settings["substeps"] = max(1, math.ceil(frame / STEP - 1e-6))
        decisions.append(
            _row(
                "leapfrog",
                f"{settings['substeps']} to a sample",
                f"{1e3 * STEP:g} ms at most",
                "--set substeps=5",
            )
        )
    config = from_dict(settings, BarsConfig)
    return config, machine, decisions


def _machine(data: Trajectories, given: BarsMachine, told: dict[str, Any]) -> Any:
    """What the record says; what was said on the command line wins."""
    from ..dynamics import BarsMachine

    see = not {"first", "last"} <= set(told)
    found, why = BarsMachine.of_record(data, see=see)
    own = {name: getattr(given, name) for name in told}
    machine = dataclasses.replace(found, **own)
    if told:
        why = f"{', '.join(told)} as told; {why}"
    if not (machine.first or machine.last) and not {"first", "last"} & set(told):
        raise ConfigError(
            "neither the first nor the last bar of the record stays where it is: a "
            "chain hangs from an end that is clamped. If both are free add --set "
            "machine.first=false; if one is held and only trembles, "
            "machine.first=true."
        )
    return machine, why


def _refuse(model: ModelOptions, train: TrainOptions) -> None:
    """Options that mean nothing for bars. **Raises:** `ConfigError`."""
    for options in (model, train):
        for field in dataclasses.fields(options):
            allowed = (*USED, "train_until", "preset", "config", "settings")
            if field.name not in allowed and getattr(options, field.name):
                raise ConfigError(
                    f"--{field.name.replace('_', '-')} does not go with a record of "
                    "bars, whose elastic energy is learned. Leave it out, or take "
                    "other channels with --channels."
                )


def _refuse_pushed(data: Trajectories) -> None:
    """**Raises:** `ConfigError` for a record whose end is moved, or whose cycles push
    each other."""
    from ..systems import SlinkyCase

    case = SlinkyCase.recorded(data.origin)
    if case is not None and case.moving:
        raise ConfigError(
            f"the record is of {case.key}, where an end is moved: learn from one whose "
            "ends stay or are free, and run the network beside this one with "
            "`pendula forecast`."
        )
    if case is not None and case.touching:
        raise ConfigError(
            f"the record is of {case.key} with cycles that keep each other apart, "
            "which the energy would take for its own: learn from one with touching=no, "
            "and what cycles do where they meet in Python, with fit_contact."
        )


def _span(length: float, share: float | None) -> tuple[float, dict[str, str]]:
    """Until when clips are taken, counted from the first sample."""
    from ..dynamics import BarsConfig

    usual = BarsConfig.span
    if share is not None:
        if not 0.0 < share < 0.9:
            raise ConfigError(f"--validation {share:g}: it must lie between 0 and 0.9.")
        span, why = (1.0 - share) * length, "as told"
    elif length > usual * (1.0 + 1e-6):
        span, why = usual, "as in the thesis; later samples choose the weights"
    else:
        span = (1.0 - HELD_OUT) * length
        why = "the last 20 % choose the weights"
    row = _row("learned from", f"the first {span:.3g} s", why, "--set span=0.7")
    return span, row


def _steps(data: Trajectories) -> Any:
    import numpy as np

    return np.diff(data.ts[0, : data.lengths[0]])


def _loads(machine: BarsMachine) -> str:
    from ._bars_numbers import machine_text

    return machine_text(machine)


def _row(what: str, choice: str, why: str, option: str) -> dict[str, str]:
    return {"what": what, "choice": choice, "why": why, "option": option}
