"""From the options of `pendula fit` to a configuration.

Order: defaults < preset < file < command line. Everything is checked before a run
folder is made.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from .._errors import ConfigError, nearest
from ._options import names, pairs, real, whole


if TYPE_CHECKING:
    from ..data import Trajectories
    from ..dynamics import FitConfig

_MODEL = Group("Model: what is known, what is learned", sort_key=20)
_TRAIN = Group("Training", sort_key=30)

Texts = tuple[str, ...]

# name -> settings; PENDULA_SMALL=1 (tests, examples) chooses "small"
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "small": {
        "model": {"width": 8, "depth": 1},
        "train": {"members": 2, "clips": [8], "steps": 20},
    },
}


@Parameter(name="*")
@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """What the model is made of."""

    known: Annotated[
        Texts,
        Parameter(group=_MODEL, help="A known law (`pendula list laws`); repeat it."),
    ] = ()
    on: Annotated[
        Texts,
        Parameter(
            group=_MODEL,
            help="The channel a law acts on: one for all, or one for each --known.",
        ),
    ] = ()
    zero: Annotated[
        str | None,
        Parameter(group=_MODEL, help="Where it rests: pi for an angle that hangs."),
    ] = None
    free: Annotated[
        Texts, Parameter(group=_MODEL, help="Constants to be found: w2,zero.")
    ] = ()
    vary: Annotated[
        Texts,
        Parameter(
            group=_MODEL,
            help="Constants that each system of a family has its own value of.",
        ),
    ] = ()
    constant: Annotated[
        Texts,
        Parameter(group=_MODEL, help="Constants that are given: w2=64 (or a start)."),
    ] = ()
    boundary: Annotated[
        str | None,
        Parameter(
            group=_MODEL,
            help="Ends of a line that diffuses: neumann (no flux) or dirichlet (held).",
        ),
    ] = None
    learn: Annotated[
        str | None,
        Parameter(group=_MODEL, help="What the network stands for: `list models`."),
    ] = None
    prior: Annotated[
        Texts,
        Parameter(
            group=_MODEL,
            help="What is known of it: zero_at_rest, odd, positive, bounded, "
            "potential, dissipative, convex, increasing, decreasing, linear, "
            "rotation_equivariant, separable.",
        ),
    ] = ()
    order: Annotated[
        str | None, Parameter(group=_MODEL, help="auto, first or second.")
    ] = None
    width: Annotated[
        int | None,
        Parameter(converter=whole, group=_MODEL, help="Neurons per hidden layer."),
    ] = None
    depth: Annotated[
        int | None, Parameter(converter=whole, group=_MODEL, help="Hidden layers.")
    ] = None


@Parameter(name="*")
@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """How it is trained."""

    method: Annotated[
        str | None, Parameter(group=_TRAIN, help="auto, adam or levenberg.")
    ] = None
    members: Annotated[
        int | None,
        Parameter(converter=whole, group=_TRAIN, help="Size of the ensemble."),
    ] = None
    steps: Annotated[
        int | None,
        Parameter(converter=whole, group=_TRAIN, help="Updates of each phase."),
    ] = None
    minutes: Annotated[
        float | None, Parameter(group=_TRAIN, help="It stops cleanly after these.")
    ] = None
    every: Annotated[
        int | None,
        Parameter(converter=whole, group=_TRAIN, help="Use every n-th sample."),
    ] = None
    validation: Annotated[
        float | None, Parameter(group=_TRAIN, help="Share held out for the verdict.")
    ] = None
    train_until: Annotated[
        float | None,
        Parameter(
            group=_TRAIN,
            help="Use no sample after this time for anything; score the rest.",
        ),
    ] = None
    seed: Annotated[
        int | None, Parameter(converter=whole, group=_TRAIN, help="Of all draws.")
    ] = None
    preset: Annotated[
        str | None,
        Parameter(
            group=_TRAIN,
            help=f"One of {', '.join(PRESETS)}; of a record of bars also published.",
        ),
    ] = None
    config: Annotated[
        Path | None, Parameter(group=_TRAIN, help="Settings in a TOML file.")
    ] = None
    settings: Annotated[
        Texts,
        Parameter(
            name="--set",
            group=_TRAIN,
            help="Any setting by its path: train.lr=3e-3, or --train.lr 3e-3.",
        ),
    ] = ()


MODEL, TRAIN = ModelOptions(), TrainOptions()


def build_config(
    data: Trajectories, model: ModelOptions, train: TrainOptions
) -> FitConfig:
    """The configuration of a fit, checked.

    **Raises:** `ConfigError` naming the option or the path of the setting.
    """
    from ..dynamics import FitConfig, from_dict

    settings = _preset(train.preset, PRESETS)
    _merge(settings, _file(train.config))
    _merge(settings, _plain_options(model, train))
    known = _known(data, model)
    if known:
        settings.setdefault("model", {})["known"] = known
    rest = _rest(data, model)
    if rest:
        settings.setdefault("model", {})["rest"] = rest
    _merge(settings, _overrides(train.settings))
    config = from_dict(settings, FitConfig)
    _check_zero(model, config)
    return config


def _check_zero(model: ModelOptions, config: FitConfig) -> None:
    """`ConfigError` for a --zero that nothing asks for."""
    from .._registry import lookup

    if model.zero is None or config.model.priors:
        return
    has = [n for law in config.model.known for n in lookup("known", law.term).constants]
    if "zero" in has:
        return
    ends = [name for name in has if name.startswith("zero")]
    how = (
        f"Write --constant {ends[0]}={model.zero}."
        if ends
        else "Add --known gravity_pendulum or a --prior, or leave it out."
    )
    raise ConfigError(
        f"--zero {model.zero}: no known law and no prior asks where it rests. {how}"
    )


def _preset(
    name: str | None,
    table: dict[str, dict[str, Any]],
    text: str = "there is no such preset",
) -> dict[str, Any]:
    """The settings of a preset, to be changed by who asks."""
    if name is None:
        name = "small" if os.environ.get("PENDULA_SMALL") else "default"
    if name not in table:
        raise ConfigError(
            f"--preset {name}: {text}.{nearest(name, table)} Known: {', '.join(table)}."
        )
    found = table[name]
    return {k: dict(v) if isinstance(v, dict) else v for k, v in found.items()}


def _file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"--config {path}: there is no such file. Check the path."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--config {path}: not a TOML file ({error}). Expected lines such as "
            "train.lr = 3e-3."
        ) from None


def _plain_options(model: ModelOptions, train: TrainOptions) -> dict[str, Any]:
    """The options that stand for one setting each, where they were given."""
    tables: dict[str, dict[str, Any]] = {
        "model": {
            "learn": model.learn,
            "priors": list(names(model.prior)) or None,
            "order": model.order,
            "width": model.width,
            "depth": model.depth,
        },
        "train": {
            "method": train.method,
            "members": train.members,
            "steps": train.steps,
            "minutes": train.minutes,
        },
    }
    top = {"every": train.every, "validation": train.validation, "seed": train.seed}
    said = {k: {n: v for n, v in t.items() if v is not None} for k, t in tables.items()}
    return {
        **{k: v for k, v in top.items() if v is not None},
        **{k: t for k, t in said.items() if t},
    }


def _known(data: Trajectories, model: ModelOptions) -> list[dict[str, Any]]:
    """One table a known law: constants and free names go to the laws that have
    them.

    **Raises:** `ConfigError` for a name that no law has.
    """
    from .._registry import lookup

    terms = names(model.known)
    laws = [lookup("known", term) for term in terms]
    on = names(model.on)
    if on and len(on) not in (1, len(terms)):
        raise ConfigError(
            f"--on is given {len(on)} times for {len(terms)} known laws. Give it once "
            "for all, or once for each --known."
        )
    if on and not terms and model.zero is None:
        raise ConfigError(
            f"--on {on[0]}: there is no known law to act on it. Name one with --known, "
            "or leave it out."
        )
    for channel in on:
        if channel not in data.names:
            raise ConfigError(
                f'--on {channel}: the data have no channel "{channel}".'
                f"{nearest(channel, data.names)} Channels: {', '.join(data.names)}."
            )
    given = {k: real(v, f"--constant {k}") for k, v in _given(model).items()}
    has = {name for law in laws for name in law.constants}
    wanted = {
        "--free": names(model.free),
        "--vary": names(model.vary),
        "--constant": list(given),
    }
    for option, each in wanted.items():
        for name in each:
            if name not in has:
                raise ConfigError(
                    f"{option} {name}: no known law has this constant."
                    f"{nearest(name, has)} {_what_there_is(terms, laws)}"
                )
    if model.boundary is not None and not any(law.line for law in laws):
        raise ConfigError(
            "--boundary says what holds at the ends of a line that diffuses; no known "
            "law does. Add --known diffusion, or leave it out."
        )
    if model.zero is not None:
        given.setdefault("zero", real(model.zero, "--zero"))
    rows = []
    for k, (term, law) in enumerate(zip(terms, laws, strict=True)):
        channel = on[k if len(on) > 1 else 0] if on else None
        own = {name: given[name] for name in law.constants if name in given}
        if law.line:
            channel = None  # all channels are its nodes
        elif law.links:
            channel = None  # a body takes all angles
            own = {**_hanging_links(data, law), **own}
        elif "zero" in law.constants and "zero" not in own:
            own |= _hanging(data, channel)
        rows.append(
            {
                "term": term,
                "on": [channel] if channel else [],
                "free": [name for name in names(model.free) if name in law.constants],
                "varies": [n for n in names(model.vary) if n in law.constants],
                "constants": own,
                **_ends(law, model),
            }
        )
    return rows


def _ends(law: Any, model: ModelOptions) -> dict[str, str]:
    """What holds at the ends, for the law that has some."""
    return {"boundary": model.boundary} if law.line and model.boundary else {}


def _given(model: ModelOptions) -> dict[str, str]:
    return pairs(model.constant, "--constant")


def _what_there_is(terms: Sequence[str], laws: Sequence[Any]) -> str:
    if not terms:
        return "Name a law with --known first; `pendula list laws` shows them."
    has = (
        f"{t} has {', '.join(law.constants)}"
        for t, law in zip(terms, laws, strict=True)
    )
    return f"{'; '.join(has)}."


def _hanging(data: Trajectories, channel: str | None) -> dict[str, float]:
    """Where a named set says that this angle hangs."""
    zero = data.origin.get("zero") or {}
    value = zero.get(channel or data.names[0])
    return {} if value is None else {"zero": float(value)}


def _hanging_links(data: Trajectories, law: Any) -> dict[str, float]:
    """Where a named set says that the angles of a body hang."""
    zero = data.origin.get("zero") or {}
    angles = [n for n, flag in zip(data.names, data.angle, strict=True) if flag]
    return {
        f"zero{k + 1}": float(zero[name])
        for k, name in enumerate(angles[: law.links])
        if name in zero
    }


def _rest(data: Trajectories, model: ModelOptions) -> list[float] | None:
    """The rest value of each channel, for the priors; None where nobody said."""
    zero = dict(data.origin.get("zero") or {})
    if model.zero is not None:
        value = real(model.zero, "--zero")
        channels = names(model.on) or data.names[:1]
        zero |= dict.fromkeys(channels, value)
    if not any(zero.get(name) for name in data.names):
        return None
    return [float(zero.get(name, 0.0)) for name in data.names]


def _overrides(given: Sequence[str]) -> dict[str, Any]:
    """`train.lr=3e-3` texts as nested tables; values as TOML writes them, bare
    words as texts."""
    out: dict[str, Any] = {}
    for path, text in pairs(given, "--set").items():
        try:
            value: Any = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        table = out
        *heads, last = path.split(".")
        for head in heads:
            table = table.setdefault(head, {})
            if not isinstance(table, dict):
                raise ConfigError(
                    f"--set {path}: {head} is a value and a table at once. Remove one."
                )
        table[last] = value
    return out


def _merge(base: dict[str, Any], over: dict[str, Any]) -> None:
    """`over` wins, table by table."""
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value
