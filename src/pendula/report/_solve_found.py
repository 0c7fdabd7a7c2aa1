"""Parameters that a solve has found, in words."""

from __future__ import annotations

import math
from typing import Any

from ._numbers import interval, number


def found_parameters(report: dict[str, Any]) -> dict[str, str]:
    """Parameters that were found, with what holds them with 95 %, where that is known.

    ```python
    >>> from pendula.report import found_parameters
    >>> found_parameters(
    ...     {"unknown": {"k": 1.789}, "unknown_interval": {"k": [1.6308, 1.9625]}}
    ... )
    {'k': '1.789 (1.631 to 1.962 with 95 %)'}

    ```
    """
    spans, open_ = spans_of(report)
    more = {key: f" ({span} with 95 %)" for key, span in spans.items()}
    more |= dict.fromkeys(open_, " (not determined by the measurements)")
    return {
        key: f"{number(value, 4)}{more.get(key, '')}"
        for key, value in (report.get("unknown") or {}).items()
    }


def spans_of(report: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Intervals in words, and the parameters that have none that ends."""
    ends = report.get("unknown_interval") or {}
    known = {k: v for k, v in ends.items() if all(map(math.isfinite, v))}
    spans = {k: interval(*v, digits=4) for k, v in known.items()}
    return spans, [k for k in ends if k not in known]
