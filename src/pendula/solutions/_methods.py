"""Methods by name, and the settings that each of them takes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from .._errors import ConfigError, nearest
from ._first_order import FirstOrder
from ._frozen import Frozen
from ._frozen_config import FrozenConfig
from ._gauss_newton import GaussNewton
from ._gaussian_process import GaussianProcess
from ._limited_memory import LBFGS
from ._outcome import Method
from ._quasi_newton import QuasiNewton
from ._trained import Network, NetworkConfig


Optimiser = Callable[..., Any]

METHODS: dict[str, Optimiser | None] = {
    "frozen": None,
    "gp": None,
    "gauss_newton": GaussNewton,
    "ssbroyden": functools.partial(QuasiNewton, kind="ssbroyden"),
    "bfgs": functools.partial(QuasiNewton, kind="bfgs"),
    "lbfgs": LBFGS,
    "adam": functools.partial(FirstOrder, kind="adam"),
    "soap": functools.partial(FirstOrder, kind="soap"),
}
"""Name -> how the weights of a network are found; None: they stay as drawn, or there is
no network."""
_UNTRAINED: dict[str, tuple[Callable[..., Any], Callable[[Any], Method]]] = {
    "frozen": (FrozenConfig, Frozen),
    "gp": (GaussianProcess, lambda settings: settings),
}
"""Of those the settings, and the method of settings."""


def method_of(name: str, options: dict[str, Any]) -> Method:
    """A method from its name and settings of it, its network or its optimiser.

    **Raises:** `ConfigError` with the nearest name, for a method or a setting that
    there is not.

    ```python
    >>> from pendula.solutions import method_of
    >>> method_of("gauss_newton", {"width": 20, "steps": 50}).config.width
    20

    ```
    """
    if name not in METHODS:
        raise ConfigError(
            f'unknown method "{name}".{nearest(str(name), METHODS)} Known: '
            f"{', '.join(METHODS)}."
        )
    optimiser = METHODS[name]
    if optimiser is None:
        settings, make = _UNTRAINED[name]
        _refuse_strange(name, options, _names(settings))
        return make(settings(**options))
    network, training = _names(NetworkConfig), _names(optimiser)
    _refuse_strange(name, options, {"strategy", *network, *training})
    pick = lambda known: {k: v for k, v in options.items() if k in known}
    return Network(
        NetworkConfig(**pick(network)),
        optimiser(**pick(training - network)),
        **pick({"strategy"}),
    )


def _names(kind: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(getattr(kind, "func", kind))}


def _refuse_strange(name: str, options: dict[str, Any], known: set[str]) -> None:
    for option in options:
        if option not in known:
            raise ConfigError(
                f'method {name} has no setting "{option}".{nearest(option, known)} '
                f"Settings are {', '.join(sorted(known))}."
            )
