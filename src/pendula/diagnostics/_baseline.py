"""What a baseline is, and the two that need no equation."""

from __future__ import annotations

import abc
import dataclasses
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .._errors import ConfigError, DataError
from ..data import Trajectories
from ._shapes import aligned


class Outlook(NamedTuple):
    """What a forecast starts from: history `ts` `"past"`, `ys` and `mask`
    `"past obs"`, inputs `us` `"past ctrl"` or None; and the times `ahead` `"time"`
    with their inputs `ahead_us` `"time ctrl"` or None."""

    ts: np.ndarray
    ys: np.ndarray
    mask: np.ndarray
    us: np.ndarray | None
    ahead: np.ndarray
    ahead_us: np.ndarray | None


class AbstractFittedBaseline(abc.ABC):
    """A baseline that has seen its training data."""

    @abc.abstractmethod
    def _ahead(self, outlook: Outlook) -> np.ndarray:
        """The forecast `"time obs"` of a checked outlook."""

    @property
    @abc.abstractmethod
    def text(self) -> str:
        """What was fitted, in a few words."""

    @property
    @abc.abstractmethod
    def size(self) -> tuple[int, int]:
        """Numbers of channels and of inputs."""

    def forecast(
        self,
        history_ts: ArrayLike,
        history_ys: ArrayLike,
        history_mask: ArrayLike | None,
        ts: ArrayLike,
        us: ArrayLike | None = None,
        history_us: ArrayLike | None = None,
    ) -> np.ndarray:
        """Observations `"time obs"` at later times, from what was measured before.

        **Arguments:** `history_ts` `"past"`, increasing; `history_ys` `"past obs"`
        and `history_mask` of the same shape (None: NaN is missing); `ts` `"time"`,
        increasing, none before the end of the history; `us` `"time ctrl"` the inputs
        at `ts`; `history_us` `"past ctrl"` those at the history's times: without
        them the first of `us` is taken to hold before, and only the last few samples
        tell the start state.
        **Returns:** finite numbers, always: a baseline whose forecast leaves ten
        times the range of training and history stops there and keeps its last value.
        **Raises:** `ShapeError`; `ConfigError` for times in the wrong order, an empty
        history, or inputs that are missing or were not there in training; `DataError`
        for infinite values in the history, and inputs that are not finite.
        """
        past = _columns(history_ys)
        mask = ~np.isnan(past) if history_mask is None else np.asarray(history_mask)
        mask = mask[:, None] if mask.ndim == 1 else mask
        given = [
            ("history_ts", history_ts, "past"),
            ("history_ys", past, "past obs"),
            ("history_mask", mask, "past obs"),
            ("the channels of the training data", np.zeros(self.size[0]), "obs"),
            ("ts", ts, "time"),
        ]
        times, past, mask, _, ahead = aligned(*given)
        if not len(times) or not len(ahead):
            raise ConfigError(
                f"{len(times)} samples of history and {len(ahead)} times ahead; a "
                "forecast needs at least one of each."
            )
        for name, values in (("history_ts", times), ("ts", ahead)):
            if not (np.all(np.isfinite(values)) and np.all(np.diff(values) > 0)):
                raise ConfigError(f"{name} must be finite and increase.")
        # a time may be rounded otherwise; no more, since clocks may begin anywhere
        slack = 8 * np.finfo(np.float64).eps * max(abs(times[-1]), abs(ahead[-1]))
        if ahead[0] < times[-1] - slack:
            raise ConfigError(
                f"ts begins at {ahead[0]:.12g}, before the end of the history at "
                f"{times[-1]:.12g}. Cut the history there."
            )
        mask = (mask > 0) & ~np.isnan(past)
        if np.isinf(past[mask]).any():
            raise DataError(
                "history_ys holds infinite values. Mask them, or give NaN for what was "
                "not measured."
            )
        inputs, before = self._inputs(times, ahead, us, history_us)
        return self._ahead(
            Outlook(times, np.where(mask, past, 0.0), mask, before, ahead, inputs)
        )

    def _inputs(
        self,
        times: np.ndarray,
        ahead: np.ndarray,
        us: ArrayLike | None,
        history_us: ArrayLike | None,
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Inputs at `ahead` and before, checked; None where there are none."""
        ctrl = self.size[1]
        if us is None and not ctrl:
            return None, None
        if us is None or not ctrl:
            raise ConfigError(
                f"the training data have {ctrl} input(s); the forecast was given "
                f"{'none' if us is None else 'some'}. Give as many."
            )
        known = ("the inputs of the training data", np.zeros(ctrl), "ctrl")
        (_, _, now) = aligned(
            known, ("ts", ahead, "time"), ("us", _columns(us), "time ctrl")
        )
        before = None
        if history_us is not None:
            (_, _, before) = aligned(
                known,
                ("history_ts", times, "past"),
                ("history_us", _columns(history_us), "past ctrl"),
            )
        for name, values in (("us", now), ("history_us", before)):
            if values is not None and not np.isfinite(values).all():
                raise DataError(
                    f"{name} holds gaps or infinities; an input must be known at every "
                    "sample. Fill them."
                )
        return now, before


def _columns(values: ArrayLike) -> np.ndarray:
    """One series as a table of one column."""
    array = np.asarray(values, np.float64)
    return array[:, None] if array.ndim == 1 else array


class AbstractBaseline(abc.ABC):
    """A plain forecasting method that a model has to beat."""

    @abc.abstractmethod
    def fit(self, train: Trajectories) -> AbstractFittedBaseline:
        """Fit it to training data (and to nothing else)."""


def channel_means(train: Trajectories) -> np.ndarray:
    """Mean of every channel `"dim"` over all measured samples; 0 without any.

    An angle means the same a whole turn on: each trajectory's mean is first brought
    to the turn nearest the first one's.
    """
    count = train.mask.sum(axis=1)
    means = train.ys.sum(axis=1) / np.maximum(count, 1)
    for j in np.flatnonzero(train.angle):
        seen = np.flatnonzero(count[:, j])
        if len(seen):
            means[:, j] = nearest_turn(means[:, j], means[seen[:1], j])
    return (means * count).sum(axis=0) / np.maximum(count.sum(axis=0), 1)


def nearest_turn(angle: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The angle [rad] plus the whole turns that bring it nearest the reference."""
    return angle + 2 * np.pi * np.round((reference - angle) / (2 * np.pi))


def last_values(outlook: Outlook, otherwise: np.ndarray) -> np.ndarray:
    """The last measured value of every channel `"obs"`, or `otherwise`."""
    last = len(outlook.ts) - 1 - np.argmax(outlook.mask[::-1], axis=0)
    value = np.take_along_axis(outlook.ys, last[None], axis=0)[0]
    return np.where(outlook.mask.any(axis=0), value, otherwise)


@dataclasses.dataclass(frozen=True)
class Persistence(AbstractBaseline):
    r"""Everything stays as it was last measured: $\hat y(t) = y(t_{last})$.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Trajectories
    >>> from pendula.diagnostics import Persistence
    >>> data = Trajectories.from_arrays(np.arange(4.0), [1.0, 2.0, 3.0, 5.0])
    >>> fitted = Persistence().fit(data)
    >>> print(fitted.forecast(data.ts[0], data.ys[0], None, [4.0, 5.0])[:, 0])
    [5. 5.]

    ```
    """

    def fit(self, train: Trajectories) -> FittedPersistence:
        """Keeps the training mean, for channels that a history does not show."""
        return FittedPersistence(channel_means(train), train.ctrl)


@dataclasses.dataclass(frozen=True, eq=False)
class FittedPersistence(AbstractFittedBaseline):
    """See `Persistence`."""

    mean: np.ndarray
    ctrl: int

    def _ahead(self, outlook: Outlook) -> np.ndarray:
        return np.tile(last_values(outlook, self.mean), (len(outlook.ahead), 1))

    @property
    def text(self) -> str:
        """What was fitted."""
        return "the last measured value"

    @property
    def size(self) -> tuple[int, int]:
        """Numbers of channels and inputs."""
        return len(self.mean), self.ctrl


@dataclasses.dataclass(frozen=True)
class Mean(AbstractBaseline):
    r"""Everything is at its training mean: $\hat y(t) = \bar y$; for a damped motion
    the rest. Angles come at the turn nearest their last measured value.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Trajectories
    >>> from pendula.diagnostics import Mean
    >>> data = Trajectories.from_arrays(np.arange(3.0), [0.1, -0.1, 0.3], angle=(True,))
    >>> turned = data.ys[0] + 4 * np.pi
    >>> print(Mean().fit(data).forecast(data.ts[0], turned, None, [3.0]) - 4 * np.pi)
    [[0.1]]

    ```
    """

    def fit(self, train: Trajectories) -> FittedMean:
        """Means over all measured samples."""
        return FittedMean(channel_means(train), np.array(train.angle), train.ctrl)


@dataclasses.dataclass(frozen=True, eq=False)
class FittedMean(AbstractFittedBaseline):
    """See `Mean`."""

    mean: np.ndarray
    angle: np.ndarray
    ctrl: int

    def _ahead(self, outlook: Outlook) -> np.ndarray:
        last = last_values(outlook, self.mean)
        value = np.where(self.angle, nearest_turn(self.mean, last), self.mean)
        return np.tile(value, (len(outlook.ahead), 1))

    @property
    def text(self) -> str:
        """What was fitted."""
        return "the mean of the training data"

    @property
    def size(self) -> tuple[int, int]:
        """Numbers of channels and inputs."""
        return len(self.mean), self.ctrl
