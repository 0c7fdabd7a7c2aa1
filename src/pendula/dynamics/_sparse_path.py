"""The path of a library from all terms to few, each law fitted through the solver."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np

from .._errors import DivergedError
from .._tree import member, split_trainable
from ..train import NOT_FINITE
from ._config import FitConfig
from ._eliminate import degrees, eliminate, rate_covariance
from ._field import SecondOrder
from ._library import Library
from ._model import Model
from ._posterior import posterior
from ._prepare import Prepared, States, estimate_states, observed_spread
from ._stages import Stage, levenberg_stages, rate_index
from ._stretches import stretch_errors
from ._trainer import Trainer


FLOOR = 1e-3  # of the spread: as exact as residuals are taken to be
FOLLOWED = 1.5  # times the error on shorter windows: longer ones are not followed
HOPELESS = (
    1.5  # times the least held-out error: fewer terms do not come back from there
)
SHORTEST = 8  # samples of a window
Find = Callable[[Model], tuple[str, Callable[[Any], Stage]]]


@dataclasses.dataclass(frozen=True)
class Law:
    """A law on the path: an ensemble of one, the start states of its windows and their
    items, samples of a window, error on them and, where it was judged, the threshold
    it belongs to and its held-out error."""

    ensemble: Model
    local: Any
    items: Any
    length: int
    loss: float
    threshold: float = 0.0
    error: float = np.inf

    @property
    def terms(self) -> int:
        """Number of coefficients that are left."""
        return int(np.asarray(library_of(self.ensemble).scale.kept).sum())


def library_of(model: Model) -> Library:
    """The library inside a model."""
    library: Any = model.field
    if isinstance(library, SecondOrder):
        library = library.force
    return library


class SparsePath:
    """Runs the stages of `fit_sparse`."""

    def __init__(self, prepared: Prepared, config: FitConfig, trainer: Trainer) -> None:
        self.prepared, self.config, self.trainer = prepared, config, trainer

    def laws(self, ensemble: Model, thresholds: tuple[float, ...]) -> list[Law]:
        """One law for each threshold that drops something, each from the one before.

        **Raises:** `DivergedError` when none can be followed.
        """
        law, out = self._first(ensemble, thresholds), []
        for threshold in thresholds:
            before = np.asarray(library_of(law.ensemble).scale.kept)
            ensemble = self._dropped(law, threshold)
            after = np.asarray(library_of(ensemble).scale.kept)
            if out and np.array_equal(before, after):
                continue
            found = self._trained(ensemble, self._windows(law.length), law.local)
            if found is None:
                break
            error = self._error(found.ensemble)
            law = dataclasses.replace(found, threshold=threshold, error=error)
            out.append(law)
            if error > HOPELESS * min(one.error for one in out) or not law.terms:
                break
        if not out:
            raise _nothing_followed()
        return out

    def refit(self, law: Law) -> Law:
        """The same support on all data; the law as it was when that fails."""
        whole = self.prepared.whole
        states = estimate_states(whole, self.prepared.plan)
        found = law
        for length in self.lengths[1:]:
            if length > law.length:
                break
            find = self._windows(length, data=whole, states=states)
            more = self._trained(found.ensemble, find)
            if more is None or more.loss > FOLLOWED * law.loss:
                break
            found, states = more, self._followed(more, states)
        return found

    @property
    def lengths(self) -> list[int]:
        """Samples of the windows: a ninth, a third, and all."""
        whole = self.trainer.window()
        shorter = {min(max(SHORTEST, whole // part), whole) for part in (9, 3)}
        return sorted({*shorter, whole})

    def _first(self, ensemble: Model, thresholds: tuple[float, ...]) -> Law:
        """All terms on the shortest windows, then on longer ones. Where the shortest
        already lead to infinity, terms are dropped by the regression of the rates."""
        rates = self._trained(ensemble, lambda e: self._stages(e, self.lengths[-1])[0])
        if rates is None:
            raise _nothing_followed()
        for threshold in (0.0, *thresholds):
            start = rates.ensemble
            if threshold:
                start = self._dropped_by_rates(start, threshold)
            law = self._trained(start, self._windows(self.lengths[0]))
            if law is not None:
                return self._grown(law, thresholds[0])
        raise _nothing_followed()

    def _grown(self, law: Law, threshold: float) -> Law:
        """Windows grow as long as the law follows them: terms that short windows do
        not ask for are dropped before (they lead astray on long ones), and the states
        it follows there are the starts."""
        for length in self.lengths[1:]:
            here = self._windows(law.length)
            fewer = self._trained(self._dropped(law, threshold), here, law.local)
            if fewer is None:
                break
            find = self._windows(length, states=self._followed(fewer))
            longer = self._trained(fewer.ensemble, find)
            if longer is None or longer.loss > FOLLOWED * fewer.loss:
                break
            law = longer
        return law

    def _followed(self, law: Law, rough: States | None = None) -> States:
        """The states on the windows of a law, in place of those estimated from noisy
        samples."""
        rough = self.prepared.states if rough is None else rough
        items = law.items[1]
        runs = np.asarray(_runs(member(law.ensemble, 0), law.local[0], items))
        rows, first = np.asarray(items.origin).T
        index = first[:, None] + self.prepared.every * np.arange(runs.shape[1])
        inside = np.asarray(items.mask).any(-1) & np.isfinite(runs).all(-1)
        ys = rough.ys.copy()
        rows = np.broadcast_to(rows[:, None], index.shape)
        ys[rows[inside], index[inside]] = runs[inside]
        return States(ys, rough.rates)

    def _windows(self, length: int, **more: Any) -> Find:
        """The stage of windows of some length."""

        def find(ensemble: Model) -> tuple[str, Callable[[Any], Stage]]:
            ((_, make),) = self._stages(ensemble, length, warm=True, **more)
            return f"windows of {length}", make

        return find

    def _stages(self, ensemble: Model, window: int, **more: Any) -> Any:
        """The stages of a Levenberg-Marquardt fit with this support."""
        params, static = split_trainable(ensemble)
        return levenberg_stages(
            self.prepared,
            params,
            static,
            self.trainer.key,
            dtype=self.trainer.dtype,
            window=window,
            steps=self.config.train.steps,
            members=1,
            **more,
        )

    def _trained(self, ensemble: Model, find: Find, local: Any = None) -> Law | None:
        """One stage, from given start states or the estimated ones; None when it
        stopped on values that are not finite."""
        params, static = split_trainable(ensemble)
        name, make = find(ensemble)
        stage = make(params)
        if local is not None:
            warm = eqx.tree_at(lambda s: s.params, stage.state, (params, local))
            stage = dataclasses.replace(stage, state=warm)
        pair, outcome = self.trainer.one(0, name, stage, False)
        if outcome.reason.startswith(NOT_FINITE):
            return None
        loss = np.inf if outcome.loss is None else outcome.loss
        model = eqx.combine(pair[0], static)
        return Law(model, pair[1], stage.items, stage.clip, loss)

    def _dropped(self, law: Law, threshold: float) -> Model:
        """The support that a threshold leaves, its coefficients moved along."""
        covariance, _, _ = posterior(law.ensemble, "levenberg", law.local, law.items)
        assert covariance is not None
        # exact data would tell terms apart that nobody could miss
        wider = max(1.0, FLOOR / max(law.loss, 1e-12)) ** 2
        return _with_support(law.ensemble, wider * covariance[0], threshold)

    def _dropped_by_rates(self, ensemble: Model, threshold: float) -> Model:
        """The same by the regression on estimated rates."""
        states, data = self.prepared.states, self.prepared.train
        index = rate_index(states, 2000)
        x = states.ys[index]
        if data.us is not None:
            x = np.concatenate([x, data.us[index]], axis=1)
        rates = states.rates[index][:, self.prepared.plan.n :]
        covariance = rate_covariance(member(library_of(ensemble), 0), x, rates)
        return _with_support(ensemble, covariance, threshold)

    def _error(self, ensemble: Model) -> float:
        """The held-out error that laws are compared by."""
        p = self.prepared
        duration = (self.trainer.window() - 1) * p.every * p.sampling
        spread = observed_spread(p.train)
        return float(stretch_errors(ensemble, p.validation, duration, spread)[0])


@eqx.filter_jit
def _runs(model: Model, starts: Any, items: Any) -> Any:
    """States `"window time dim"` on the windows."""
    return jax.vmap(lambda y0, i: model.steps(y0, i.t0, i.dts, i.us, i.context).ys)(
        starts, items
    )


def _with_support(ensemble: Model, covariance: np.ndarray, threshold: float) -> Model:
    """The ensemble of one with what `eliminate` leaves."""
    library = member(library_of(ensemble), 0)
    shape = library.coefficients.shape
    kept, values = eliminate(
        np.asarray(library.coefficients, np.float64).ravel(),
        covariance,
        np.asarray(library.scale.kept).ravel() > 0,
        degrees(library),
        threshold,
    )
    new = library.with_kept(kept.reshape(shape), values.reshape(shape))
    return eqx.tree_at(library_of, ensemble, jax.tree.map(lambda x: x[None], new))


def _nothing_followed() -> DivergedError:
    return DivergedError(
        "no law of the library can be followed over the windows. Shorten them "
        "(train.window), lower the degree, or inspect the data for outliers."
    )
