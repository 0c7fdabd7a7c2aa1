"""A bound on the error, where there is one."""

from __future__ import annotations

from typing import Any

from ._solution import Solution


def certificate(solution: Solution) -> dict[str, Any] | None:
    """The bound over time, or None."""
    return None
