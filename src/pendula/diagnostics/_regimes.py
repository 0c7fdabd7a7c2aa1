"""Which trainings fit, which stop too early, which fit nothing but their points."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from .._errors import ConfigError
from ._words import number


FIT, UNDER, OVER = "fit", "under-trained", "over-trained"
REGIMES = (FIT, UNDER, OVER)
_LETTERS = {FIT: "F", UNDER: "U", OVER: "O"}


@dataclasses.dataclass(frozen=True)
class Regimes:
    """A map of training regimes over two hyper-parameters.

    `names`: of the two; `first` `"first"`, `second` `"second"`: their values; `train`,
    `test` `"first second"`: medians over seeds of the errors at the training points and
    elsewhere; `regime` `"first second"`: one of `REGIMES`; `limits`: of train and test.
    """

    names: tuple[str, str]
    first: Float[np.ndarray, "first"]
    second: Float[np.ndarray, "second"]
    train: Float[np.ndarray, "first second"]
    test: Float[np.ndarray, "first second"]
    regime: Shaped[np.ndarray, "first second"]
    limits: tuple[float, float]

    def shares(self) -> dict[str, float]:
        """Regime -> its share of the map."""
        return {name: float(np.mean(self.regime == name)) for name in REGIMES}

    def best(self) -> tuple[float, float]:
        """The two values with the smallest test error."""
        i, j = np.unravel_index(np.argmin(self.test), self.test.shape)
        return float(self.first[i]), float(self.second[j])

    @property
    def text(self) -> str:
        """The map in letters, a row for each value of the first parameter."""
        a, b = self.names
        rows = [f"{a} down, {b} along: F fit, U under-trained, O over-trained"]
        rows.append("\t".join(["", *[number(v) for v in self.second]]))
        for value, line in zip(self.first, self.regime, strict=True):
            letters = [_LETTERS[str(name)] for name in line]
            rows.append("\t".join([number(value), *letters]))
        return "\n".join(rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, infinite errors as None."""
        plain = lambda a: [
            [float(v) if math.isfinite(v) else None for v in line] for line in a
        ]
        return {
            "names": list(self.names),
            "first": self.first.tolist(),
            "second": self.second.tolist(),
            "train": plain(self.train),
            "test": plain(self.test),
            "regime": [[str(name) for name in line] for line in self.regime],
            "limits": list(self.limits),
        }


def regimes(
    run: Callable[[float, float, int], tuple[float, float]],
    first: Sequence[float],
    second: Sequence[float],
    *,
    test_limit: float,
    train_limit: float | None = None,
    names: tuple[str, str] = ("first", "second"),
    seeds: Sequence[int] = (0,),
) -> Regimes:
    r"""Train on a grid of two hyper-parameters and say what became of each.

    With the errors $E$ at the training points and $E'$ elsewhere,

    | regime | when |
    |---|---|
    | fit | $E' \le$ `test_limit` |
    | under-trained | $E' >$ `test_limit` and $E >$ `train_limit` |
    | over-trained | $E' >$ `test_limit` and $E \le$ `train_limit` |

    An under-trained one needs more steps, a better optimiser or an easier problem; an
    over-trained one more points or fewer weights. What helps one does not help the
    other, which is why they have to be told apart before anything is changed.

    **Shapes and units**: errors are numbers >= 0 of one unit, relative ones best.
    **Arguments:**
    - `run(a, b, seed)`: a training, to (train error, test error); what is not finite
      counts as infinite.
    - `first`, `second`: values of the two, each different from the others.
    - `test_limit`, `train_limit`: > 0; the same without the second.
    - `names`: for texts and figures; `seeds`: trainings of each pair; medians count.

    **Returns:** `Regimes`.
    **Raises:** `ConfigError` for limits, values or seeds that cannot be used, or errors
    below 0.
    **Source:** Wang, Hu, Zhong et al. 2026, arXiv:2605.29153 (three regimes in all
    models that they tried); two limits in place of their losses are ours.

    ```python
    >>> from pendula.diagnostics import regimes
    >>> def run(weights, steps, seed):  # a model of a training
    ...     train = 0.5 / steps
    ...     return train, train + weights / 1000
    >>> found = regimes(run, [1, 100], [1, 100], test_limit=0.05)
    >>> [[str(name) for name in line] for line in found.regime]
    [['under-trained', 'fit'], ['under-trained', 'over-trained']]
    >>> found.best()
    (1.0, 100.0)

    ```
    """
    limit = test_limit if train_limit is None else train_limit
    for name, value in (("test_limit", test_limit), ("train_limit", limit)):
        if not (math.isfinite(value) and value > 0.0):
            raise ConfigError(f"regimes: {name} is {value}; an error limit is above 0.")
    a, b = _values("first", first), _values("second", second)
    if not len(seeds):
        raise ConfigError("regimes: there are no seeds. Give one at least.")
    found = np.empty((len(a), len(b), len(seeds), 2))
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            for k, seed in enumerate(seeds):
                found[i, j, k] = run(float(x), float(y), seed)
    if (found < 0.0).any():
        raise ConfigError("regimes: an error is below 0. Give absolute values.")
    # an infinite one only where half of the seeds are: medians of nan would hide all
    found = np.where(np.isfinite(found), found, np.inf)
    train, test = np.moveaxis(_median(found), -1, 0)
    regime = np.where(test <= test_limit, FIT, np.where(train > limit, UNDER, OVER))
    return Regimes(names, a, b, train, test, regime, (limit, test_limit))


def _median(found: np.ndarray) -> np.ndarray:
    """Over seeds; the upper one of two in the middle, which needs no sum of
    infinities."""
    ranked = np.sort(found, axis=2)
    return ranked[:, :, found.shape[2] // 2]


def _values(name: str, values: Sequence[float]) -> Float[np.ndarray, "value"]:
    """Different finite values in float64."""
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or not found.size or not np.isfinite(found).all():
        raise ConfigError(
            f"regimes: {name} is {values!r}; a list of finite numbers is needed."
        )
    if len(np.unique(found)) < len(found):
        raise ConfigError(f"regimes: {name} has a value twice: {values!r}.")
    return found
