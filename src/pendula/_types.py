"""Shape and dtype aliases that all rooms share (engineering: section 2 words)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Array, Bool, Float, Int8, PRNGKeyArray, Shaped


if TYPE_CHECKING:  # operators between the three are beyond type checkers
    AnyArray: TypeAlias = Any
else:
    AnyArray = Array | np.ndarray | np.generic  # where NumPy may come in or go out
State: TypeAlias = Float[Array, "dim"]
Time: TypeAlias = Float[Array, ""]
Control: TypeAlias = Float[Array, "ctrl"]
Context: TypeAlias = Any  # what varies within a family: parameters or eta

__all__ = [
    "AnyArray",
    "Array",
    "Bool",
    "Context",
    "Control",
    "Float",
    "Int8",
    "PRNGKeyArray",
    "Shaped",
    "State",
    "Time",
]
