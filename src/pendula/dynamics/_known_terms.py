"""The known part of a model: forces by name, and the body they act on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import equinox as eqx

from .._errors import ConfigError, nearest
from .._registry import lookup
from ._bodies import Links
from ._config import KnownConfig, ModelConfig
from ._constants import Constant, Free, Varying, constant
from ._first_guess import Guess
from ._known import Known, Law
from ._layout import Layout
from ._reaction import check_boundary


Guesses = Mapping[int, Mapping[str, Guess]]


def known_terms(
    config: ModelConfig, plan: Layout, guesses: Guesses
) -> tuple[Links | None, list[Known]]:
    """The body, if a law names one, and the forces of single coordinates.

    **Raises:** `ConfigError` for laws that do not fit the channels, or two bodies.
    """
    forced = [k for k in config.known if not lookup("known", k.term).line]
    if forced and (plan.n == 0 or plan.canonical):
        raise ConfigError(
            f'the known law "{forced[0].term}" acts on accelerations, but the '
            "channels are of first order. Use --order second."
            if not plan.canonical
            else f'the known law "{forced[0].term}" acts on accelerations, but '
            "the model has momenta. Use --learn lagrangian."
        )
    body, forces = None, []
    for i, known in enumerate(config.known):
        law: Law = lookup("known", known.term)
        if law.line:  # see `diffusion_of`
            continue
        if law.links and body is not None:
            raise ConfigError(
                f'"{known.term}" is a second body; a model has one. Leave one out.'
            )
        make = _links if law.links else _force
        term: Any = make(known, plan, guesses.get(i, {}))
        constants = _told_apart(config, i, term.constants)
        term = eqx.tree_at(lambda t: t.constants, term, constants)
        if law.links:
            body = term
        else:
            forces.append(term)
    return body, forces


def varying(config: ModelConfig) -> list[str]:
    """The constants that differ between the members of a family, in the order in which
    eta has them."""
    return [name for known in config.known for name in known.varies]


def _told_apart(
    config: ModelConfig, i: int, constants: dict[str, Constant]
) -> dict[str, Constant]:
    """The constants of law i, those in `varies` as each member has them."""
    first = sum(len(known.varies) for known in config.known[:i])
    own: dict[str, Constant] = {}
    for k, name in enumerate(config.known[i].varies):
        free = constants[name]
        assert isinstance(free, Free)
        own[name] = Varying(free, first + k)
    return {**constants, **own}


def spreads(config: ModelConfig) -> bool:
    """Whether a known law joins the channels to a line."""
    return any(lookup("known", k.term).line for k in config.known)


def diffusion_of(
    config: ModelConfig, plan: Layout
) -> tuple[dict[str, Constant], str] | None:
    """Constants and boundary of the known diffusion, None without one.

    **Raises:** `ConfigError` for channels that are no line of nodes, missing constants
    or two diffusions.
    """
    found = [k for k in config.known if lookup("known", k.term).line]
    if not found:
        return None
    if len(found) > 1:
        raise ConfigError('the law "diffusion" stands twice. Leave one out.')
    known = found[0]
    check_boundary(known.boundary)
    if plan.n or plan.dim < 3:
        raise ConfigError(
            f'the law "{known.term}" needs three or more channels of first order, the '
            f"nodes of a line from one end to the other; there are "
            f"{', '.join(plan.state_names)}. Use --order first, or leave the law out."
        )
    if known.on and tuple(known.on) != plan.names:
        raise ConfigError(
            f'the law "{known.term}" takes all channels, in their order; '
            f"{', '.join(known.on)} were given. Leave on out."
        )
    law: Law = lookup("known", known.term)
    for name in [*known.constants, *known.free, *known.varies]:
        if name not in law.constants:
            raise ConfigError(
                f'law "{known.term}" has no constant "{name}".'
                f"{nearest(name, law.constants)} It has: {', '.join(law.constants)}."
            )
    constants = {}
    for name, (sign, _) in law.constants.items():
        value = known.constants.get(name)
        if value is None or not (math.isfinite(value) and value > 0):
            raise ConfigError(
                f'law "{known.term}": constant "{name}" is {value}; give '
                f"{name}=NUMBER above 0, a start where it is free."
            )
        unknown = name in (*known.free, *known.varies)
        constants[name] = constant(value, free=unknown, sign=sign)
    return _told_apart(config, config.known.index(known), constants), known.boundary


def _links(known: KnownConfig, plan: Layout, guesses: Mapping[str, Guess]) -> Links:
    law: Law = lookup("known", known.term)
    names = [plan.names[p] for p in plan.positions]
    if law.links != plan.n or plan.first:
        raise ConfigError(
            f'the law "{known.term}" needs {law.links} angles of second order and no '
            f"other channel; there are {len(names)} ({', '.join(names)})"
            + (f" and {len(plan.first)} of first order." if plan.first else ".")
        )
    if known.on and list(known.on) != names:
        raise ConfigError(
            f'the law "{known.term}" takes all angles, in their order '
            f"({', '.join(names)}); {', '.join(known.on)} were given. Leave on out."
        )
    starts = {name: guess.start for name, guess in guesses.items()}
    return Links(
        law.links,
        relative=law.relative,
        free=(*known.free, *known.varies),
        **{**starts, **known.constants},
    )


def _force(known: KnownConfig, plan: Layout, guesses: Mapping[str, Guess]) -> Known:
    names = [plan.names[p] for p in plan.positions]
    on = known.on or (names[0],)
    if len(on) != 1:
        raise ConfigError(
            f'law "{known.term}" acts on one channel; {list(on)} were given. Repeat '
            "--known for each."
        )
    if on[0] not in names:
        raise ConfigError(
            f'law "{known.term}" is to act on "{on[0]}", which is not a position. '
            f"Positions: {', '.join(names)}."
        )
    starts = {name: guess.start for name, guess in guesses.items()}
    constants: dict[str, Any] = {**starts, **known.constants}
    return Known(
        known.term,
        plan.n,
        names.index(on[0]),
        free=(*known.free, *known.varies),
        channel=known.channel,
        extra=len(plan.first),
        scales={name: guess.scale for name, guess in guesses.items()},
        **constants,
    )
