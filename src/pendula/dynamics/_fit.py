"""The facade: data and a configuration in, a fitted ensemble with a verdict out."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._compile_clock import CompileClock
from .._errors import ConfigError, DivergedError
from .._precision import precision, to_host
from .._tree import (
    member,
    num_parameters,
    reinitialise,
    split_trainable,
)
from ..data import Trajectories
from ..train import (
    STOPPED,
    AbstractCallback,
    Checkpoint,
    KeepBest,
    MetricsLog,
    Plateau,
    Tell,
    TimeLimit,
    check_same,
    finish,
    latest,
    resume as resume_state,
    run,
)
from ._build import build_model, equation
from ._config import FitConfig, to_dict
from ._fitted import Fitted
from ._judge import check_held_out, constants_found, judge
from ._learned import Learned
from ._model import Model
from ._posterior import posterior
from ._prepare import Prepared, estimate_states, prepare
from ._programs import validation_score
from ._stages import Stage, adam_stages, levenberg_stages, start_states


LEVENBERG_UP_TO = 400  # parameters; beyond, the normal matrix costs more than it gains
CHECK_EVERY = 5.0  # seconds between checkpoints
REFIT = 99  # number of the phase that takes the held-out data in


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one phase came to, for the report."""

    name: str
    steps: int
    clip: int
    clips: int
    seconds: float
    reason: str
    loss: float | None
    validation: float | None


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
            ensemble = _members(model, prepared, config, method)
            folder = None if out is None else Path(out)
            if folder is not None:
                _open_folder(folder, resume, config, data)
            deadline = began + 60.0 * config.train.minutes
            trainer = _Trainer(prepared, config, dtype, folder, deadline, tell, resume)
            ensemble, locals_, items, outcomes = trainer.train(ensemble, method)
            fitted = _package(prepared, config, ensemble, dtype, method)
            covariance, constants, tau = posterior(
                fitted.ensemble, method, locals_, items
            )
            fitted = dataclasses.replace(
                fitted,
                covariance=covariance,
                about={**fitted.about, "constants": constants, "autocorrelation": tau},
            )
        if judged:
            fitted = judge(fitted, prepared, command, tell)
        if judged and config.train.refit and method == "levenberg":
            fitted, outcome = _refit(fitted, prepared, config, trainer, dtype)
            outcomes = [*outcomes, outcome]
    seconds = time.perf_counter() - began
    return _with_training(fitted, outcomes, seconds, clock.seconds)


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


def _open_folder(
    folder: Path, resume: bool, config: FitConfig, data: Trajectories
) -> None:
    """Make the run folder ready: identity recorded, old traces gone unless resumed."""
    if not resume:
        for name in ("metrics.jsonl", "timing.jsonl", "resume/identity.json"):
            (folder / name).unlink(missing_ok=True)
        for old in (folder / "resume").rglob("state-*.safetensors"):
            old.unlink()
    digest = hashlib.sha256(repr((data.names, data.input_names)).encode())
    for array in (data.ts, data.ys, data.mask, data.us):
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())
    # minutes may differ: a resumed fit may be given more time.
    settings = to_dict(config)
    settings["train"].pop("minutes")
    check_same(folder / "resume", {"config": settings, "data": digest.hexdigest()})


def _members(
    model: Model | None, prepared: Prepared, config: FitConfig, method: str
) -> Any:
    """The stacked ensemble: fresh weights for each, and prior precisions spread
    over the members (Levenberg-Marquardt)."""
    if model is not None:
        _check_fits(model, prepared)
    count = config.train.members
    spread = np.ones(count)
    if method == "levenberg" and count > 1:
        spread = np.geomspace(
            config.train.spread**-0.5, config.train.spread**0.5, count
        )
    made = []
    for i in range(count):
        key = jax.random.fold_in(jax.random.key(config.seed), i)
        if model is None:
            one = build_model(
                config.model,
                prepared.plan,
                prepared.ranges,
                prepared.substeps,
                key,
                prepared.guesses,
            )
        else:
            one = reinitialise(model, key)
        made.append(_with_precision(one, float(spread[i])))
    dtype = jnp.zeros(()).dtype
    made = [
        jax.tree.map(
            lambda x: jnp.asarray(x, dtype) if eqx.is_inexact_array(x) else x, m
        )
        for m in made
    ]
    return jax.tree.map(lambda *xs: jnp.stack(xs), *made)


def _check_fits(model: Model, prepared: Prepared) -> None:
    """A model of the caller's must have the state that the data are read as."""
    plan = prepared.plan
    if (model.dim, model.observed) != (plan.dim, plan.observed):
        raise ConfigError(
            f"the model has a state of size {model.dim} and observes entries "
            f"{list(model.observed)}; the data are read as a state "
            f"({', '.join(plan.state_names)}) with {list(plan.observed)} observed. "
            "Choose model.order, or give the model that state."
        )
    if num_parameters(model) == 0:
        raise ConfigError(
            "the model has nothing to find: no network, no free constant."
        )


def _with_precision(model: Model, factor: float) -> Model:
    is_slot = lambda n: isinstance(n, Learned)

    def scaled(node: Any) -> Any:
        if is_slot(node):
            return eqx.tree_at(
                lambda s: s.scale.precision, node, node.scale.precision * factor
            )
        return node

    return jax.tree.map(scaled, model, is_leaf=is_slot)


class _Trainer:
    """Runs the stages of one fit through `train.run`."""

    def __init__(
        self,
        prepared: Any,
        config: Any,
        dtype: Any,
        folder: Any,
        deadline: Any,
        tell: Any,
        resume: Any,
    ) -> None:
        self.prepared, self.config, self.dtype = prepared, config, dtype
        self.folder, self.deadline, self.tell = folder, deadline, tell
        self.resume = resume
        self.key = jax.random.fold_in(jax.random.key(config.seed), 1_000_003)

    def window(self) -> int:
        """Samples (thinned) of one stretch of Levenberg-Marquardt."""
        p = self.prepared
        step = p.sampling * p.every
        length = self.config.train.window
        longest = int((p.train.lengths.max() - 1) // p.every) + 1
        if length == 0:
            length = 3 * p.period if np.isfinite(p.period) else step * (longest - 1) / 4
        return int(np.clip(round(length / step) + 1, 4, longest))

    def stages(self, ensemble: Model, method: str) -> Any:
        """(name, maker) pairs and the static part of the ensemble."""
        params, static = split_trainable(ensemble)
        c, p = self.config.train, self.prepared
        if method == "levenberg":
            return (
                params,
                static,
                levenberg_stages(
                    p,
                    params,
                    static,
                    self.key,
                    dtype=self.dtype,
                    window=self.window(),
                    steps=c.steps,
                    members=c.members,
                ),
            )
        shared = member(static, 0)
        return (
            params,
            static,
            adam_stages(
                p,
                params,
                shared,
                self.key,
                dtype=self.dtype,
                clips=c.clips,
                steps=c.steps,
                batch=c.batch,
                lr=c.lr,
                members=c.members,
                free_starts=c.start == "free",
                validate=lambda index: self._validation(shared, index),
            ),
        )

    def train(self, ensemble: Model, method: str) -> Any:
        """All stages; (ensemble, local states of the last, its items, outcomes)."""
        params, static, stages = self.stages(ensemble, method)
        outcomes: list[Outcome] = []
        pair, stage = (params, None), None
        done = latest(self.folder / "resume") if self.folder and self.resume else None
        for index, (name, make) in enumerate(stages):
            if done is not None and index < done[0]:
                outcomes.append(
                    Outcome(name, 0, 0, 0, 0.0, "before the resume", None, None)
                )
                continue
            late = time.perf_counter() > self.deadline and index > 0
            # Levenberg-Marquardt needs its last stage for the posterior.
            if late and (method == "adam" or index < len(stages) - 1):
                reason = f"skipped: the limit of {self.config.train.minutes:g} min"
                outcomes.append(Outcome(name, 0, 0, 0, 0.0, reason, None, None))
                continue
            stage = make(pair[0])
            pair, outcome = self.one(index, name, stage, done is not None)
            outcomes.append(outcome)
        assert stage is not None
        return eqx.combine(pair[0], static), pair[1], stage.items, outcomes

    def one(self, index: int, name: str, stage: Stage, resumed: bool) -> Any:
        """One stage through the loop."""
        began = time.perf_counter()
        state, ended = stage.state, None
        # The refit has a folder of its own: were its checkpoints the newest, the
        # judged ensemble would be gone.
        place = "resume" if index < REFIT else "resume/refit"
        if self.folder is not None and resumed:
            found = resume_state(self.folder / place, index, stage.state)
            if found is not None:
                state, ended = found
            if ended is not None and ended.startswith(STOPPED):
                ended = None  # by the clock: a resumed fit is given more time
        last: dict[str, Any] = {}
        callbacks: list[AbstractCallback] = []
        if stage.score is not None:
            callbacks.append(KeepBest(stage.score))
        callbacks.append(Tell(last.update))
        if self.tell is not None:
            total = stage.num_steps
            head = {"phase": name, "index": index, "total": total}
            callbacks.append(Tell(lambda row: self.tell({**head, **row})))
            self.tell({**head, "step": int(state.step)})
        if self.folder is not None:
            callbacks.append(MetricsLog(self.folder, name, int(state.step)))
        callbacks.append(
            TimeLimit(self.deadline, f"the limit of {self.config.train.minutes:g} min")
        )
        if stage.settles:
            callbacks.append(Plateau())
        if self.folder is not None:
            callbacks.append(Checkpoint(self.folder / place, index, CHECK_EVERY))
        if ended is None:
            state, ended = run(
                stage.step,
                state,
                stage.items,
                callbacks,
                num_steps=stage.num_steps,
                log_every=stage.log_every,
                inner=stage.inner,
            )
        pair = finish(state)
        pick = lambda k: float(np.nanmedian(last[k])) if k in last else None
        return pair, Outcome(
            name,
            int(state.step),
            stage.clip,
            stage.clips,
            time.perf_counter() - began,
            ended,
            pick("loss"),
            pick("validation"),
        )

    def _validation(self, static: Any, index: int) -> Any:
        """Mean squared error on validation clips of the longest length, compiled."""
        p = self.prepared
        longest = int((p.validation.lengths.max() - 1) // p.every) + 1
        length = min(max(self.config.train.clips), longest)
        if length < 4:
            return None
        host = p.validation.clips(
            length, max(1, (length - 1) * p.every // 2), every=p.every, dtype=self.dtype
        )
        states = estimate_states(p.validation, p.plan)
        starts = start_states(states, host, self.dtype)
        good = np.flatnonzero(np.isfinite(starts).all(1))
        good = good[:: max(1, len(good) // 32)]
        items = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[good]), host)
        starts = jnp.asarray(starts[good])
        sd = np.where(p.train.mask, p.train.ys, np.nan).reshape(-1, p.train.dim)
        weight = jnp.asarray(1.0 / np.maximum(np.nanstd(sd, axis=0), 1e-12), self.dtype)

        return lambda pair: validation_score(pair[0], static, starts, items, weight)


def _package(
    prepared: Prepared, config: FitConfig, ensemble: Model, dtype: Any, method: Any
) -> Fitted:
    """The ensemble with what must be known to use it."""
    host = to_host(ensemble)
    finite = [
        all(np.isfinite(x[i]).all() for x in jax.tree.leaves(split_trainable(host)[0]))
        for i in range(config.train.members)
    ]
    if not any(finite):
        raise DivergedError(
            "no member of the ensemble is finite after training. Lower --train.lr, "
            "shorten the clips (--train.clips), or inspect the data for outliers."
        )
    p = prepared
    period = p.period if np.isfinite(p.period) else 0.0
    step = p.sampling * p.every
    history = (
        max(3.0 * period, 24 * step)
        if method == "levenberg"
        else max(period, 16 * step)
    )
    shortest = float((p.train.ts[:, -1] - p.train.ts[:, 0]).min())
    ys = np.where(p.train.mask, p.train.ys, np.nan).reshape(-1, p.train.dim)
    spread = np.nanstd(ys, axis=0)
    about = {
        "members": config.train.members,
        "dtype": dtype.name,
        "method": method,
        "names": list(p.train.names),
        "units": list(p.train.units),
        "angle": list(p.train.angle),
        "time_unit": p.train.time_unit,
        "input_names": list(p.train.input_names),
        "input_kind": p.train.input_kind,
        "licence": p.train.licence,
        "layout": {
            "positions": list(p.plan.positions),
            "velocities": list(p.plan.velocities),
            "first": list(p.plan.first),
        },
        "state": list(p.plan.state_names),
        "terms": equation(config.model, p.plan),
        "parameters": num_parameters(member(host, 0)),
        "every": p.every,
        "step": step,
        "period": period,
        "history": min(history, 0.5 * shortest),
        "spread": np.where(spread > 0, spread, 1.0).tolist(),
        "noise": np.nan_to_num(p.noise).tolist(),
        "config": to_dict(config),
        "seed": config.seed,
        "train_end": float(p.train.ts.max()),
    }
    return Fitted(host, about)


def _refit(
    fitted: Fitted, prepared: Prepared, config: Any, trainer: _Trainer, dtype: Any
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
        covariance, constants, tau = posterior(host, "levenberg", pair[1], stage.items)
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
