"""A case of the Slinky, changed on the command line."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from .._errors import ConfigError, nearest
from ._options import real


if TYPE_CHECKING:
    from ..systems import SlinkyCase

KINDS = {
    "cycles": int,
    "span": float,
    "drag": float,
    "heavier": float,
    "stiffer": float,
    "touching": bool,
}
SAID = {"yes": True, "true": True, "no": False, "false": False}


def changed_case(case: str, given: dict[str, str], seconds: float | None) -> SlinkyCase:
    """The case with other settings.

    **Raises:** `ConfigError` for an unknown case, an unknown setting, a value that is
    none.
    """
    from ..systems import slinky_case

    own = slinky_case(case)
    changes: dict[str, Any] = {}
    for name, text in given.items():
        if name not in KINDS:
            raise ConfigError(
                f'--set {name}: the slinky has no "{name}".{nearest(name, KINDS)} '
                f"Allowed: {', '.join(KINDS)}."
            )
        if KINDS[name] is bool:
            if text.lower() not in SAID:
                raise ConfigError(f"--set {name} is {text}; say yes or no.")
            changes[name] = SAID[text.lower()]
            continue
        value = real(text, f"--set {name}")
        if KINDS[name] is int and not value.is_integer():
            raise ConfigError(f"--set {name} is {text}; it must be a whole number.")
        changes[name] = KINDS[name](value)
    if seconds is not None:
        changes["seconds"] = seconds
    return dataclasses.replace(own, **changes)
