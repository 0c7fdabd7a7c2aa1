"""The baselines by name."""

from __future__ import annotations

from collections.abc import Sequence

from .._errors import ConfigError, nearest
from ..data import Trajectories
from ._baseline import AbstractBaseline, AbstractFittedBaseline, Mean, Persistence
from ._linear import Linear
from ._polynomial import SparsePolynomial


BASELINES: dict[str, AbstractBaseline] = {
    "persistence": Persistence(),
    "mean": Mean(),
    "linear": Linear(),
    "sparse_polynomial": SparsePolynomial(),
}
"""The baselines by name, in the order of the report."""


def baseline(name: str) -> AbstractBaseline:
    """`"persistence"`, `"mean"`, `"linear"` or `"sparse_polynomial"`.

    **Raises:** `ConfigError` with the nearest name.
    """
    if name not in BASELINES:
        raise ConfigError(
            f'unknown baseline "{name}".{nearest(name, BASELINES)} Known: '
            f"{', '.join(BASELINES)}."
        )
    return BASELINES[name]


def fit_baselines(
    train: Trajectories, names: Sequence[str] = tuple(BASELINES)
) -> dict[str, AbstractFittedBaseline]:
    """Each named baseline fitted to the training data.

    **Raises:** `ConfigError` for an unknown name; `DataError` when the data are too
    few for one of them.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Trajectories
    >>> from pendula.diagnostics import fit_baselines
    >>> t = np.linspace(0, 10, 100)
    >>> data = Trajectories.from_arrays(t, np.sin(t))
    >>> for name, fitted in fit_baselines(data).items():
    ...     guess = fitted.forecast(t, data.ys[0], None, [11.0])[0, 0]
    ...     print(f"{name} {abs(guess - np.sin(11.0)):.2f}")
    persistence 0.46
    mean 1.18
    linear 0.00
    sparse_polynomial 0.00

    ```
    """
    return {name: baseline(name).fit(train) for name in names}
