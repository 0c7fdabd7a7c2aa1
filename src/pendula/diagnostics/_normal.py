"""Plain probabilistic forecasts of regularly sampled series: what a stochastic model
has to beat. Each is fitted on training samples and says a mean and a standard
deviation for every later one, step by step, whatever the time between them."""

from __future__ import annotations

import abc
import dataclasses

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .._checks import whole
from .._errors import ConfigError, DataError, ShapeError
from ._shapes import aligned


class AbstractNormal(abc.ABC):
    """A fitted plain forecast: independent normal distributions, one a value."""

    @abc.abstractmethod
    def ahead(
        self, ys: ArrayLike, steps: int, us: ArrayLike | None = None
    ) -> tuple[Float[np.ndarray, "time obs"], Float[np.ndarray, "time obs"]]:
        """Mean and standard deviation of the `steps` samples behind `ys` `"past obs"`;
        `us` `"past+steps ctrl"` are the inputs at all of them, where they are used.

        **Raises:** `ConfigError` for `steps < 1`; `ShapeError` for other channels."""


@dataclasses.dataclass(frozen=True, eq=False)
class Climatology(AbstractNormal):
    """Mean and spread of the training samples, for ever."""

    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def fit(cls, ys: ArrayLike) -> Climatology:
        """On samples `"time obs"`. **Raises:** `DataError` for fewer than two."""
        ys = _series(ys, 2)
        return cls(ys.mean(axis=0), ys.std(axis=0))

    def ahead(
        self, ys: ArrayLike, steps: int, us: ArrayLike | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same at every step."""
        whole(1, steps=steps)
        return np.tile(self.mean, (steps, 1)), np.tile(self.sd, (steps, 1))


@dataclasses.dataclass(frozen=True, eq=False)
class RandomWalk(AbstractNormal):
    """The last sample, with the root mean square step of the training samples times
    the root of the lead."""

    step: np.ndarray

    @classmethod
    def fit(cls, ys: ArrayLike) -> RandomWalk:
        """On samples `"time obs"`. **Raises:** `DataError` for fewer than two."""
        return cls(np.sqrt(np.mean(np.diff(_series(ys, 2), axis=0) ** 2, axis=0)))

    def ahead(
        self, ys: ArrayLike, steps: int, us: ArrayLike | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Persistence, less and less sure."""
        whole(1, steps=steps)
        ys = _as_fitted("ys", _series(ys, 1), len(self.step))
        lead = np.arange(1, steps + 1)[:, None]
        return np.tile(ys[-1], (steps, 1)), np.sqrt(lead) * self.step


@dataclasses.dataclass(frozen=True, eq=False)
class Repeat(AbstractNormal):
    """What was measured `period` samples before, and as often again as it takes, with
    the root mean square difference over one period in training."""

    period: int
    sd: np.ndarray

    @classmethod
    def fit(cls, ys: ArrayLike, period: int) -> Repeat:
        """On samples `"time obs"`. **Raises:** `ConfigError` for `period < 1`;
        `DataError` for fewer than a period and two."""
        period = whole(1, period=period)
        ys = _series(ys, period + 2)
        change = ys[period:] - ys[:-period]
        return cls(period, np.sqrt(np.mean(change**2, axis=0)))

    def ahead(
        self, ys: ArrayLike, steps: int, us: ArrayLike | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The last period, again and again."""
        whole(1, steps=steps)
        ys = _as_fitted("ys", _series(ys, self.period), len(self.sd))
        last = ys[-self.period :]
        return last[np.arange(steps) % self.period], np.tile(self.sd, (steps, 1))


@dataclasses.dataclass(frozen=True, eq=False)
class PhaseMean(AbstractNormal):
    """Mean of the training samples at the same phase of a switched input: the same
    value for the same number of samples. Phases that training lacks get the mean of
    all; the spread is that about the phases' means, for all of them."""

    means: dict[tuple[float, int], np.ndarray]
    otherwise: np.ndarray
    sd: np.ndarray

    @classmethod
    def fit(cls, ys: ArrayLike, us: ArrayLike) -> PhaseMean:
        """On samples `"time obs"` and one switched input `"time 1"`.

        **Raises:** `DataError` when there are no more samples than phases, or gaps;
        `ShapeError` for several inputs."""
        ys, us = _driven(_series(ys, 2), us)
        labels = _phases(us)
        means = {
            label: ys[[k for k, other in enumerate(labels) if other == label]].mean(0)
            for label in set(labels)
        }
        free = len(ys) - len(means)
        if free < 1:
            raise DataError(
                f"{len(ys)} samples show {len(means)} phases of the input: none comes "
                "twice. Give a longer record."
            )
        rest = ys - np.stack([means[label] for label in labels])
        sd = np.sqrt((rest**2).sum(axis=0) / free)
        return cls(means, ys.mean(axis=0), sd)

    def ahead(
        self, ys: ArrayLike, steps: int, us: ArrayLike | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """By the inputs' phases. **Raises:** `ConfigError` without inputs."""
        whole(1, steps=steps)
        labels = _phases(_inputs(ys, steps, us))[-steps:]
        mean = np.stack([self.means.get(label, self.otherwise) for label in labels])
        return mean, np.tile(self.sd, (steps, 1))


@dataclasses.dataclass(frozen=True, eq=False)
class Autoregression(AbstractNormal):
    r"""Every sample as a linear function of the `order` before it.

    $$ y_k = \sum_{j=1}^{p} C_j y_{k-j} + D_0 u_k + D_1 u_{k-1} + c + e_k,
       \qquad e_k \sim N(0, \Sigma) $$

    by least squares; the covariance of a forecast is that of the errors on the way, as
    if the coefficients were known. An AR(p) is this on one channel.

    **Shapes:** `lags` `"order obs obs"`, `drive` `"2 obs ctrl"`, `offset` `"obs"`,
    `cov` `"obs obs"` (of the residuals, by their degrees of freedom).
    **Source:** Lutkepohl 2005, New Introduction to Multiple Time Series Analysis,
    sections 3.2 and 10.2.

    ```python
    >>> import numpy as np
    >>> from pendula.diagnostics import Autoregression
    >>> rng, y = np.random.default_rng(0), [0.0]
    >>> for _ in range(4000):
    ...     y.append(0.8 * y[-1] + 0.6 * rng.normal())
    >>> mean, sd = Autoregression.fit(np.array(y)[:, None], 1).ahead([[2.0]], 50)
    >>> print(mean[0].round(1), sd[[0, -1], 0].round(1))
    [1.6] [0.6 1. ]

    ```
    """

    lags: np.ndarray
    drive: np.ndarray
    offset: np.ndarray
    cov: np.ndarray

    @classmethod
    def fit(
        cls, ys: ArrayLike, order: int, us: ArrayLike | None = None
    ) -> Autoregression:
        """On samples `"time obs"`, and inputs `"time ctrl"` at them.

        **Raises:** `ConfigError` for `order < 1`; `DataError` for too few samples."""
        order = whole(1, order=order)
        ys = _series(ys, order + 2)
        n, dim = ys.shape
        parts = [ys[order - j : n - j] for j in range(1, order + 1)]
        ctrl = 0
        if us is not None:
            _, us = _driven(ys, us)
            parts += [us[order:], us[order - 1 : -1]]
            ctrl = us.shape[1]
        table = np.hstack([*parts, np.ones((n - order, 1))])
        free = len(table) - table.shape[1]
        if free < 1:
            raise DataError(
                f"{n} samples are too few for {table.shape[1]} coefficients a channel. "
                "Lower the order, or give a longer record."
            )
        found = np.linalg.lstsq(table, ys[order:], rcond=None)[0]
        rest = ys[order:] - table @ found
        lags = found[: order * dim].reshape(order, dim, dim).transpose(0, 2, 1)
        drive = found[order * dim : -1].reshape(2, ctrl, dim).transpose(0, 2, 1)
        return cls(lags, drive, found[-1], rest.T @ rest / free)

    def ahead(
        self, ys: ArrayLike, steps: int, us: ArrayLike | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Step by step, the mean from the means and the covariance from the responses
        to each error. **Raises:** `ConfigError` without the inputs of its fit,
        `ShapeError` for other channels."""
        whole(1, steps=steps)
        order, dim = self.lags.shape[:2]
        ys = _as_fitted("ys", _series(ys, order), dim)
        path = list(ys[-order:])
        forced = np.zeros((steps, dim))
        if self.drive.size:
            us = _as_fitted("us", _inputs(ys, steps, us), self.drive.shape[2])
            forced = us[-steps:] @ self.drive[0].T
            forced = forced + us[-steps - 1 : -1] @ self.drive[1].T
        response = [np.zeros((dim, dim))] * (order - 1) + [np.eye(dim)]
        var, out = np.zeros((dim, dim)), []
        for k in range(steps):
            back = path[-1 : -order - 1 : -1]
            known = sum(c @ y for c, y in zip(self.lags, back, strict=True))
            path.append(known + forced[k] + self.offset)
            var = var + response[-1] @ self.cov @ response[-1].T
            out.append(np.sqrt(np.diag(var)))
            back = response[-1 : -order - 1 : -1]
            response.append(sum(c @ r for c, r in zip(self.lags, back, strict=True)))
        return np.stack(path[order:]), np.stack(out)


def _series(ys: ArrayLike, least: int) -> np.ndarray:
    """Samples `"time obs"`, complete and long enough."""
    (ys,) = aligned(("ys", ys, "time obs"))
    if len(ys) < least or not np.all(np.isfinite(ys)):
        raise DataError(
            f"{len(ys)} samples, {int(np.sum(~np.isfinite(ys)))} values missing; at "
            f"least {least} complete ones are needed. Fill the gaps or cut them off."
        )
    return ys


def _as_fitted(name: str, values: np.ndarray, channels: int) -> np.ndarray:
    """Samples of as many channels as the fit had."""
    if values.shape[1] != channels:
        raise ShapeError(
            f"{name} has {values.shape[1]} channels; the fit had {channels}. Give the "
            "same ones."
        )
    return values


def _driven(ys: np.ndarray, us: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Samples and as many inputs, without gaps."""
    ys, us = aligned(("ys", ys, "time obs"), ("us", us, "time ctrl"))
    return ys, _complete(us)


def _inputs(ys: ArrayLike, steps: int, us: ArrayLike | None) -> np.ndarray:
    samples = len(np.asarray(ys)) + steps
    if us is None or len(np.asarray(us)) != samples:
        raise ConfigError(
            f"this forecast needs the inputs at all {samples} samples, also those "
            "to come."
        )
    return _complete(*aligned(("us", us, "time ctrl")))


def _complete(us: np.ndarray) -> np.ndarray:
    bad = np.argwhere(~np.isfinite(us))
    if len(bad):
        raise DataError(
            f"the input at {tuple(bad[0].tolist())} (time first) is missing; all of "
            "them are needed. Fill the gaps or cut them off."
        )
    return us


def _phases(us: np.ndarray) -> list[tuple[float, int]]:
    """(value, samples since it changed) of a switched input."""
    if us.shape[1] != 1:
        raise ShapeError(
            f"there are {us.shape[1]} inputs; phases are those of one. Give the one "
            "that is switched."
        )
    out: list[tuple[float, int]] = []
    for value in us[:, 0].tolist():
        same = bool(out) and out[-1][0] == value
        out.append((value, out[-1][1] + 1 if same else 0))
    return out
