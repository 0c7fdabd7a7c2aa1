"""The facade: data and a configuration in, a fitted ensemble with a verdict out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._compile_clock import CompileClock
from .._errors import ConfigError
from .._precision import precision, to_host
from .._tree import num_parameters, split_trainable
from ..data import Trajectories
from ..train import NOT_FINITE, AbstractCallback
from ._behaviour import with_behaviour
from ._config import FitConfig, to_dict
from ._fitted import Fitted
from ._judge import check_held_out, constants_found, judge
from ._layout import check_trajectories
from ._members import make_members, package
from ._model import Model
from ._posterior import posterior
from ._prepare import Prepared, estimate_states, prepare
from ._stages import levenberg_stages
from ._trainer import REFIT, Outcome, Trainer
from ._watch import open_folder


LEVENBERG_UP_TO = 400  # parameters; beyond, the normal matrix costs more than it gains


def choose_method(config: FitConfig, model: Model | None) -> str:
    """Levenberg-Marquardt for few parameters, Adam for many."""
    if config.train.method != "auto":
        return config.train.method
    if model is not None:
        return "levenberg" if num_parameters(model) <= LEVENBERG_UP_TO else "adam"
    small = (
        config.model.width**2 * max(config.model.depth - 1, 0) + 4 * config.model.width
    )
    return (
        "levenberg"
        if config.model.learn == "none" or small <= LEVENBERG_UP_TO
        else "adam"
    )


def fit(
    model: Model | None,
    data: Trajectories,
    config: FitConfig | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    tell: Callable[[dict[str, Any]], None] | None = None,
    command: str = "",
    judged: bool = True,
    debug_nans: bool = False,
    callbacks: Sequence[AbstractCallback] = (),
) -> Fitted:
    """Fit a model of motion to trajectories and say how far it can be trusted.

    **Arguments:**
    - `model`: a `Model` whose networks are drawn anew for every member; None: built
      from `config.model` and the data.
    - `data`: at least one trajectory; a share of it is held out.
    - `config`: `FitConfig`; its defaults are those of the program.
    - `out`: a run folder for metrics and checkpoints; `resume`: go on from its last
      checkpoint, to the same bits as an uninterrupted fit.
    - `tell`: called with a dict of host numbers at every logging interval.
    - `judged`: False skips scores, intervals and verdict.
    - `debug_nans`: when a training stops on values that are not finite, go through
      the first such case operation by operation and name the one it comes from.
    - `callbacks`: also look at every stage, in the order given; a
      `pendula.diagnostics.StepGuard` among them halves the solver's step where the
      rollouts depend on it.

    **Returns:** `Fitted`, with `.report` and `.arrays` for the page.
    **Raises:** `ConfigError`, `DataError` before any training; `DivergedError` when
    no member is finite.

    ```python
    >>> from pendula.dynamics import FitConfig, ModelConfig, TrainConfig, fit
    >>> from pendula.systems import simulate
    >>> data = simulate("harmonic", num=3, duration=6.0, dt=0.1, seed=0)
    >>> config = FitConfig(ModelConfig(learn="none", known=()), TrainConfig())
    >>> try:
    ...     fit(None, data, config)
    ... except ValueError as error:
    ...     print(str(error)[:41])
    learn is "none" and there is no known ter

    ```
    """
    config = FitConfig() if config is None else config
    check_arguments(model, data, config)
    if resume and out is None:
        raise ConfigError("resume needs the run folder to go on from: give out.")
    began = time.perf_counter()
    method = choose_method(config, model)
    dtype = np.dtype(config.dtype if config.dtype != "auto" else "float32")
    if config.dtype == "auto" and method == "levenberg":
        dtype = np.dtype("float64")
    prepared = prepare(data, config, method)
    if judged:
        check_held_out(prepared)
    with CompileClock() as clock:
        with precision(dtype):
            ensemble = make_members(model, prepared, config, method)
            folder = None if out is None else Path(out)
            if folder is not None:
                # minutes may differ: a resumed fit may be given more time.
                settings = to_dict(config)
                settings["train"].pop("minutes")
                open_folder(folder, resume, settings, data)
            deadline = began + 60.0 * config.train.minutes
            trainer = Trainer(
                prepared,
                config,
                dtype,
                folder,
                deadline,
                tell,
                resume,
                debug_nans,
                callbacks,
            )
            ensemble, locals_, items, outcomes = trainer.train(ensemble, method)
            fitted = package(prepared, config, ensemble, dtype, method)
            covariance, constants, tau = posterior(
                fitted.ensemble,
                method,
                locals_,
                items,
                data.time_unit,
                every=prepared.every,
            )
            fitted = dataclasses.replace(
                fitted,
                covariance=covariance,
                about={**fitted.about, "constants": constants, "autocorrelation": tau},
            )
        if judged:
            fitted = judge(fitted, prepared, command, tell, _notes(outcomes))
        whole = not _notes(outcomes)
        if judged and whole and config.train.refit and method == "levenberg":
            fitted, outcome = _refit(fitted, prepared, config, trainer, dtype)
            outcomes = [*outcomes, outcome]
        # of the model that is saved, so after the refit
        fitted = with_behaviour(fitted, prepared)
    seconds = time.perf_counter() - began
    return _with_training(fitted, outcomes, seconds, clock.seconds)


def check_arguments(model: Any, data: Any, config: Any) -> None:
    """What stands where something else should.

    **Raises:** `ConfigError`; `DataError` for data that are no trajectories.
    """
    if model is not None and not isinstance(model, Model):
        raise ConfigError(
            f"the model is a {type(model).__name__}; expected a Model, or None for one "
            "that is built from the configuration: fit(None, data, "
            "FitConfig(ModelConfig(...))). A field is made a model by Model(field, "
            "observed, dim)."
        )
    check_trajectories(data)
    if not isinstance(config, FitConfig):
        raise ConfigError(
            f"the configuration is a {type(config).__name__}; expected FitConfig, such "
            "as FitConfig(ModelConfig(...), TrainConfig(...)), or from_dict of a dict."
        )


def _notes(outcomes: list[Outcome]) -> list[str]:
    """What the verdict says of a training that did not end as it should."""
    lost = [o.name for o in outcomes if o.reason.startswith(NOT_FINITE)]
    if not lost:
        return []
    return [f"The training stopped on values that are not finite, in its {lost[0]}."]


def _with_training(
    fitted: Fitted, outcomes: list[Outcome], seconds: float, compiling: float
) -> Fitted:
    """The report of a judged fit with its phases and where its time went."""
    if fitted.report is None:
        return fitted
    training = {
        "phases": [dataclasses.asdict(o) for o in outcomes],
        "seconds": {
            "import": None,
            "compile": round(compiling, 2),
            "run": round(max(seconds - compiling, 0.0), 2),
        },
    }
    return dataclasses.replace(fitted, report={**fitted.report, "training": training})


def _refit(
    fitted: Fitted, prepared: Prepared, config: Any, trainer: Trainer, dtype: Any
) -> tuple[Fitted, Outcome]:
    """Judged on held-out data, the model then takes those in too: a warm start of
    a few iterations; intervals and verdict stay those of the judged model."""
    data = prepared.whole
    with precision(dtype):
        ensemble = jax.tree.map(jnp.asarray, fitted.ensemble)
        params, static = split_trainable(ensemble)
        states = estimate_states(data, prepared.plan)
        ((name, make),) = levenberg_stages(
            prepared,
            params,
            static,
            trainer.key,
            dtype=dtype,
            window=trainer.window(),
            steps=config.train.steps,
            members=config.train.members,
            data=data,
            states=states,
            warm=True,
        )
        stage = make(params)
        pair, outcome = trainer.one(REFIT, name, stage, trainer.resume)
        host = to_host(eqx.combine(pair[0], static))
        covariance, constants, tau = posterior(
            host,
            "levenberg",
            pair[1],
            stage.items,
            data.time_unit,
            every=prepared.every,
        )
    about = {
        **fitted.about,
        "constants": constants,
        "autocorrelation": tau,
        "train_end": float(data.ts.max()),
    }
    fitted = dataclasses.replace(
        fitted, ensemble=host, covariance=covariance, about=about
    )
    about["constants"] = constants_found(fitted)[1]
    report = fitted.report
    if report is not None:
        report = {**report, "constants": about["constants"]}
    return dataclasses.replace(fitted, about=about, report=report), outcome
