"""Arrays in batches, every epoch in an order of its own."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from .._errors import ConfigError


@functools.lru_cache(maxsize=4)
def epoch_order(words: tuple[int, ...], count: int) -> np.ndarray:
    """An order of `count` things, by whole numbers alone (a seed, an epoch...), so that
    a resumed run sees the same; drawn once for all steps of an epoch."""
    order = np.random.default_rng(list(words)).permutation(count)
    order.flags.writeable = False  # it is shared
    return order


@dataclasses.dataclass(frozen=True)
class ShuffledBatches:
    """The batch of every step of a training: `batches(step)`, a tuple of parts of the
    arrays; the rest of an epoch that fills no batch is dropped.

    **Arguments:** `arrays`: with the samples on their first axis; `size`: samples a
    batch; `seed`: of the orders.
    **Raises:** `ConfigError` for a size that no batch can have.

    ```python
    >>> import numpy as np
    >>> from pendula.data import ShuffledBatches
    >>> batches = ShuffledBatches((np.arange(4), np.arange(4) ** 2), 2)
    >>> first, second = (batches(k)[0] for k in range(batches.per_epoch))
    >>> sorted([*first.tolist(), *second.tolist()])
    [0, 1, 2, 3]

    ```
    """

    arrays: tuple[Any, ...]
    size: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.size <= len(self.arrays[0]):
            raise ConfigError(
                f"batches of {self.size} from {len(self.arrays[0])} samples: no batch "
                "is full. Take a smaller size."
            )

    @property
    def per_epoch(self) -> int:
        """Batches of one epoch."""
        return len(self.arrays[0]) // self.size

    def __call__(self, step: int) -> tuple[Any, ...]:
        """The batch of that step, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.per_epoch)
        order = epoch_order((self.seed, epoch), len(self.arrays[0]))
        which = order[place * self.size : (place + 1) * self.size]
        return tuple(array[which] for array in self.arrays)
