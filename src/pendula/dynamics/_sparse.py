"""Sparse laws found through the solver: a library that loses its needless terms."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._errors import ConfigError, FitWarning
from .._precision import precision
from .._tree import member
from ..data import Trajectories
from ..train import AbstractCallback
from ._config import FitConfig
from ._field import SecondOrder
from ._fitted import Fitted
from ._layout import check_trajectories
from ._library import Library, exponents
from ._members import make_members, package
from ._model import Model
from ._posterior import posterior
from ._prepare import Prepared, observed_spread, prepare
from ._sparse_path import FLOOR, Law, SparsePath, library_of
from ._trainer import Trainer
from ._watch import no_guard


THRESHOLDS = (3.0, 5.0, 8.0, 12.0, 20.0, 35.0, 60.0)
TOLERANCE = 1.05  # times the least held-out error, or less than `FLOOR`: as good
LOOSE = 3.0  # times the noise, which a law of the library misses by no more
SMALL = 0.05  # of the spread: smaller errors are none that mislead


def fit_sparse(
    data: Trajectories,
    config: FitConfig | None = None,
    *,
    degree: int = 3,
    thresholds: tuple[float, ...] = THRESHOLDS,
    tell: Callable[[dict[str, Any]], None] | None = None,
    callbacks: Sequence[AbstractCallback] = (),
) -> Fitted:
    r"""Find a law of few terms: monomials up to a degree, sines and cosines of angles.

    $$ \min_{\Xi, y_0} \sum_{windows} |y(t; y_0, \Xi) - o|^2 / \sigma^2
       + |\Xi|^2 / \sigma_\Xi^2 $$

    The coefficients are fitted through the solver, by Levenberg-Marquardt on windows
    with free start states: rates estimated from noisy samples only give the start.
    Windows grow from short ones. Terms that are not worth a number of standard
    deviations are dropped (`eliminate`) and the rest is fitted anew, for one threshold
    after the other; of the laws that follow the held-out data within 5 % as well as
    the best it is the one with the fewest terms. At the end it takes those data in too
    (`config.train.refit`).

    **Arguments:**
    - `data`: trajectories; a share of them (of the time, with one) is held out.
    - `config`: of it `validation`, `every`, `seed`, `model.order`, `scheme` and
      `substeps`, `train.window`, `steps`, `minutes` and `refit` are used; there is
      one member.
    - `degree`: of the monomials of state and inputs.
    - `thresholds`: standard deviations, increasing.
    - `tell`: called with a dict of host numbers as training goes on.
    - `callbacks`: also look at every stage, in the order given.

    **Returns:** `Fitted`; `about["equations"]` are the law in the units of the data,
    `about["path"]` the laws that were tried. Without intervals and verdict. It warns
    (`FitWarning`) where even the best law misses the held-out data by far more than
    their noise.
    **Raises:** `ConfigError` for thresholds that do not increase; `DataError` as `fit`
    does; `DivergedError` when no law of the path can be followed over its windows.
    **Behaviour:** with much noise, few terms and enough data the true support is found
    where regression on derivatives fails; a law that is not in the library is
    approximated, well within the data and badly outside.
    **Source:** library and thresholding: Brunton, Proctor, Kutz 2016, PNAS 113:3932;
    multiple shooting: Bock 1983; the elimination and the choice are ours.

    ```python
    >>> from pendula.dynamics import fit_sparse
    >>> from pendula.systems import simulate
    >>> data = simulate("lotka_volterra", num=4, noise=0.05, relative=True)
    >>> try:  # without the thresholds: fit_sparse(data).about["equations"]
    ...     fit_sparse(data, thresholds=(5.0, 3.0))
    ... except ValueError as error:
    ...     print(error)
    thresholds is [5.0, 3.0]; they must be above 0 and increase.

    ```
    """
    check_trajectories(data)
    config = FitConfig() if config is None else config
    if not thresholds or any(np.diff([0.0, *thresholds]) <= 0):
        raise ConfigError(
            f"thresholds is {list(thresholds)}; they must be above 0 and increase."
        )
    no_guard(callbacks, "fit_sparse", "takes model.substeps")
    config = dataclasses.replace(
        config, train=dataclasses.replace(config.train, members=1, method="levenberg")
    )
    dtype = np.dtype(np.float64)
    deadline = time.perf_counter() + 60.0 * config.train.minutes
    prepared = prepare(data, config, "levenberg")
    with precision(dtype):
        trainer = Trainer(
            prepared, config, dtype, None, deadline, tell, False, False, callbacks
        )
        model = library_model(prepared, config, degree)
        ensemble = make_members(model, prepared, config, "levenberg")
        path = SparsePath(prepared, config, trainer)
        laws = path.laws(ensemble, thresholds)
        best = _fewest(laws)
        _warn_of_misses(best.error, prepared.noise / observed_spread(prepared.train))
        if config.train.refit:
            best = path.refit(best)
        fitted = package(prepared, config, best.ensemble, dtype, "levenberg")
        covariance, _, tau = posterior(
            best.ensemble, "levenberg", best.local, best.items, every=prepared.every
        )
    about = {
        "equations": _equations(fitted),
        "terms": ["; ".join(_equations(fitted))],
        "autocorrelation": tau,
        "path": [
            {"threshold": law.threshold, "terms": law.terms, "error": law.error}
            for law in laws
        ],
    }
    return dataclasses.replace(
        fitted, covariance=covariance, about={**fitted.about, **about}
    )


def library_model(prepared: Prepared, config: FitConfig, degree: int) -> Model:
    """A model of all terms: of (q, v) with the velocity given, or of first order."""
    plan, ranges = prepared.plan, prepared.ranges
    ctrl = 0 if prepared.train.us is None else prepared.train.ctrl
    centre = np.concatenate([ranges.mean, ranges.input_mean[:ctrl]])
    spread = np.concatenate([ranges.scale, ranges.input_scale[:ctrl]])
    field: Any = Library(
        exponents(plan.dim + ctrl, degree),
        np.flatnonzero(ranges.angle).tolist(),
        out=plan.dim - plan.n,
        size=np.hypot(centre, spread),
        out_size=ranges.rate,
    )
    field = SecondOrder(field, plan.n) if plan.n else field
    return Model(field, plan.observed, plan.dim, config.model.scheme, prepared.substeps)


def _fewest(laws: list[Law]) -> Law:
    """The fewest terms among the laws that follow the held-out data as well as the
    best."""
    enough = max(FLOOR, TOLERANCE * min(law.error for law in laws))
    good = [law for law in laws if law.error <= enough]
    return min(good, key=lambda law: (law.terms, law.error))


def _warn_of_misses(error: float, noise: np.ndarray) -> None:
    """Warn of held-out errors far above the noise `"obs"`, all in spreads."""
    level = float(np.sqrt(np.nanmean(noise**2))) if np.isfinite(noise).any() else 0.0
    if error > max(LOOSE * level, SMALL):
        warnings.warn(
            f"the best law misses the held-out data by {100 * error:.2g} % of the "
            f"spread, their noise is {100 * level:.2g} %: its terms are not to be "
            "trusted. The library may lack a term (raise degree), something unseen "
            "may act, or train.window is too long to be followed.",
            FitWarning,
            stacklevel=3,
        )


def _equations(fitted: Fitted) -> list[str]:
    """The law in words, one rate after the other."""
    plan, library = fitted.plan, member(library_of(fitted.ensemble), 0)
    variables = [*plan.state_names, *fitted.about["input_names"]]
    velocities = list(plan.state_names[plan.n : 2 * plan.n])
    sides = [*velocities, *library.equations(variables)]
    return [
        f"{name}' = {side}" for name, side in zip(plan.state_names, sides, strict=True)
    ]
