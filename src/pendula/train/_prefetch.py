"""Batches made ahead of their step, while a device computes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

from .._checks import at_least


class Prefetch:
    """Gives `batches(step)`, made some steps ahead by threads and put on the device.

    The same batches as without it, in any order of the steps: of use where the device
    is not the processor that makes them. Use it as a context; its end leaves what is
    not begun.

    **Arguments:** `batches`: a function of the step alone; `workers`: threads; `ahead`:
    batches that are waiting at most.
    **Raises:** `ConfigError` for numbers below 1; in the call, what `batches` raised.

    ```python
    >>> from pendula.train import Prefetch
    >>> with Prefetch(lambda step: 2.0 * step) as batches:
    ...     [float(batches(k)) for k in (3, 4, 0)]
    [6.0, 8.0, 0.0]

    ```
    """

    def __init__(
        self, batches: Callable[[int], Any], *, workers: int = 4, ahead: int = 8
    ) -> None:
        at_least(1, "Prefetch", workers=workers, ahead=ahead)
        self._batches, self._ahead = batches, ahead
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="batches")
        self._waiting: dict[int, Future[Any]] = {}

    def __call__(self, step: int) -> Any:
        """The batch of that step."""
        wanted = range(step, step + 1 + self._ahead)
        for old in [k for k in self._waiting if k not in wanted]:
            self._waiting.pop(old).cancel()
        for k in wanted:
            if k not in self._waiting:
                self._waiting[k] = self._pool.submit(self._made, k)
        return self._waiting.pop(step).result()

    def _made(self, step: int) -> Any:
        return jax.device_put(self._batches(step))

    def __enter__(self) -> Prefetch:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
