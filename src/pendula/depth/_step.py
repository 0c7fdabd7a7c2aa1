"""One explicit Runge-Kutta step whose stages know their number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from .._checks import choice
from .._errors import ConfigError
from .._registry import names
from ..solve import AbstractScheme, Tableau, scheme


def tableau(which: str | AbstractScheme) -> Tableau:
    """The explicit scheme of that name.

    **Raises:** `ConfigError` for an unknown name, or a scheme without a tableau.
    """
    explicit = [n for n in names("scheme") if isinstance(scheme(n), Tableau)]
    if isinstance(which, str) and which not in names("scheme"):
        choice("scheme", which, explicit)
    found = scheme(which)
    if not isinstance(found, Tableau):
        raise ConfigError(
            f'scheme "{found.name}" is not explicit Runge-Kutta, and depth is stepped '
            f"by a tableau. Use one of {', '.join(explicit)}."
        )
    return found


def explicit_step(
    rate: Callable[[int, Any], Any], rule: Tableau, y: Any, h: Any
) -> tuple[Any, list[Any]]:
    r"""The state after one step, and the slopes of its stages.

    $$ k_j = f_j(y + h \sum_{i<j} a_{ji} k_i), \qquad y' = y + h \sum_j b_j k_j $$

    `pendula.solve` steps a field of t. Here each stage is addressed by its number,
    from which its weights were found exactly, and may hand on a state; so the loop
    over the stages is written again. `y` is any tree of arrays.
    """
    slopes: list[Any] = []
    for row in rule.a:
        slopes.append(rate(len(slopes), _moved(y, h, row, slopes)))
    return _moved(y, h, rule.b, slopes), slopes


def _moved(y: Any, h: Any, weights: tuple[float, ...], slopes: list[Any]) -> Any:
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            part = h * weight
            y = jax.tree.map(lambda a, b, w=part: a + _of_type(w, b) * b, y, slope)
    return y


def _of_type(factor: Any, like: Any) -> Any:
    """A length that is an array in the precision of what it scales, as a number is."""
    return factor.astype(like.dtype) if isinstance(factor, jax.Array) else factor
