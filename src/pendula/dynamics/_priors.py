"""Which priors a learned slot may have, and what each needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._errors import ConfigError, nearest
from ..nn import MLP, ConvexMLP, MonotoneMLP


if TYPE_CHECKING:
    from ._learned import Learned


# What may stand beside a prior; all others are refused, because the construction of
# the one would break that of the other.
_BESIDE: dict[str, set[str]] = {
    "zero_at_rest": {"odd", "even", "flat_at_rest", "convex", "increasing"}
    | {"decreasing", "symmetric", "invariant"},
    "odd": {"zero_at_rest", "increasing", "decreasing"},
    "even": {"zero_at_rest", "flat_at_rest", "convex"},
    "flat_at_rest": {"zero_at_rest", "even", "convex"},
    "positive": {"increasing"},
    "bounded": {"increasing"},
    "convex": {"zero_at_rest", "even", "flat_at_rest"},
    "increasing": {"zero_at_rest", "odd", "positive", "bounded"},
    "decreasing": {"zero_at_rest", "odd"},
    "symmetric": {"zero_at_rest"},
    "invariant": {"zero_at_rest"},
    "equivariant": set(),
}
_NETWORK = {
    "convex": ConvexMLP,
    "increasing": MonotoneMLP,
    "decreasing": MonotoneMLP,
}
_NO_ANGLE = {"convex", "increasing", "decreasing", "invariant", "equivariant"}


def check_priors(slot: Learned) -> None:
    """Refuse priors that are unknown, exclude each other or lack their network."""
    for prior in slot.priors:
        if prior not in _BESIDE:
            raise ConfigError(
                f'prior "{prior}" is unknown.{nearest(prior, _BESIDE)}'
                f" Allowed here: {', '.join(_BESIDE)}."
            )
    for prior in slot.priors:
        others = set(slot.priors) - {prior} - _BESIDE[prior]
        if others:
            allowed = ", ".join(sorted(_BESIDE[prior])) or "no other"
            raise ConfigError(
                f"priors {list(slot.priors)} exclude each other: {prior} goes with "
                f"{allowed}."
            )
        kind = _NETWORK.get(prior, MLP)
        if prior in _NETWORK and not isinstance(slot.net, kind):
            raise ConfigError(
                f'the prior "{prior}" holds by a {kind.__name__}; the slot has a '
                f"{type(slot.net).__name__}."
            )
        if prior in _NO_ANGLE and any(slot.angle):
            raise ConfigError(
                f'the prior "{prior}" cannot hold for an angle, which repeats. Leave '
                "it out, or let the channel be no angle."
            )
    turning = bool({"invariant", "equivariant"} & set(slot.priors))
    if turning != bool(slot.space):
        raise ConfigError(
            f"priors {list(slot.priors)} and space={slot.space}: the priors invariant "
            "and equivariant come with the dimension of their vectors."
        )
    if slot.space and (
        slot.inputs or slot.uses_context or len(slot.takes) % slot.space
    ):
        raise ConfigError(
            f"a slot of vectors takes whole vectors of {slot.space} state entries, no "
            f"inputs and no context; it takes {len(slot.takes)} entries."
        )
    if slot.linear is not None and (
        any(slot.angle) or set(slot.priors) - {"zero_at_rest", "odd"}
    ):
        raise ConfigError(
            f"a linear part does not go with priors {list(slot.priors)}"
            f"{' and angles' if any(slot.angle) else ''}: it would break them. Leave "
            "one of them out."
        )
