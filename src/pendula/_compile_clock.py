"""How much of a run went into tracing and compiling."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from jax import monitoring


PREFIX = "/jax/core/compile/"  # tracing, lowering, compiling


class CompileClock:
    """Inside, counts the seconds in which JAX traces, lowers or compiles.

    An event is told when it ends; a program traced inside another is told on its
    own too, so that the union of all intervals counts, not their sum.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula._compile_clock import CompileClock
    >>> with CompileClock() as clock:
    ...     _ = jax.jit(lambda x: jnp.sin(x) * 3.0)(1.0)
    >>> clock.seconds > 0
    True

    ```
    """

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []

    def __enter__(self) -> CompileClock:
        monitoring.register_event_duration_secs_listener(self._told)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        monitoring.unregister_event_duration_listener(self._told)

    def _told(self, event: str, duration_secs: float, **_: Any) -> None:
        if event.startswith(PREFIX):
            now = time.perf_counter()
            self.spans.append((now - duration_secs, now))

    @property
    def seconds(self) -> float:
        """Length of the union of what was told so far."""
        total, reached = 0.0, float("-inf")
        for low, high in sorted(self.spans):
            total += max(0.0, high - max(low, reached))
            reached = max(reached, high)
        return total
