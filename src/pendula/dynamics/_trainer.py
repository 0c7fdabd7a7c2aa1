"""Runs the phases of one fit through the one loop."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import FitWarning
from .._tree import member, split_trainable
from ..diagnostics import HALVED, StepGuard
from ..train import (
    NOT_FINITE,
    AbstractCallback,
    finish,
    latest,
    run,
)
from ._blame import blame
from ._config import FitConfig
from ._halved import Halvings, solver_gap, with_substeps
from ._model import Model
from ._prepare import Prepared, estimate_states, observed_spread
from ._programs import validation_score
from ._stages import Stage, adam_stages, levenberg_stages, start_states
from ._watch import taken_up, watching


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


class Trainer:
    """Runs the stages of one fit through `train.run`."""

    def __init__(
        self,
        prepared: Prepared,
        config: FitConfig,
        dtype: np.dtype,
        folder: Path | None,
        deadline: float,
        tell: Callable[[dict[str, Any]], None] | None,
        resume: bool,
        debug_nans: bool,
        callbacks: Sequence[AbstractCallback] = (),
    ) -> None:
        self.prepared, self.config, self.dtype = prepared, config, dtype
        self.folder, self.deadline, self.tell = folder, deadline, tell
        self.resume, self.debug_nans = resume, debug_nans
        self.callbacks, self.halvings = callbacks, Halvings(folder, resume)
        self.guards = [c for c in callbacks if isinstance(c, StepGuard)]
        if self.halvings.rows and not self.guards:
            warnings.warn(
                f"a guard of the step halved it {len(self.halvings.rows)} times before "
                "this run was stopped, and the resumed one was given none: the step "
                "stays as short, and is not looked at again. Give the StepGuard anew: "
                "callbacks=[StepGuard()].",
                FitWarning,
                stacklevel=3,
            )
        self.key = jax.random.fold_in(jax.random.key(config.seed), 1_000_003)
        self._clips: dict[int, tuple[Any, Any, Any]] = {}  # held out, by length

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
                validate=lambda index: self._validation(shared),
            ),
        )

    def train(self, ensemble: Model, method: str) -> Any:
        """All stages; (ensemble, local states of the last, its items, outcomes)."""
        params, static, stages = self.stages(ensemble, method)
        outcomes: list[Outcome] = []
        pair, stage = (params, None), None
        base, here = ensemble.substeps, 0  # halvings that the stages know of
        done = latest(self.folder / "resume") if self.folder and self.resume else None
        for index in range(len(stages)):
            name, make = stages[index]  # made anew where the step is halved
            if done is not None and index < done[0]:
                outcomes.append(
                    Outcome(name, 0, 0, 0, 0.0, "before the resume", None, None)
                )
                continue
            reason = self._skips(outcomes) if index else None
            # Levenberg-Marquardt needs its last stage for the posterior.
            if reason and (method == "adam" or index < len(stages) - 1):
                outcomes.append(Outcome(name, 0, 0, 0, 0.0, reason, None, None))
                continue
            state, began = None, time.perf_counter()
            while True:
                step = 0 if state is None else int(state.step)
                if state is None and done is not None and index == done[0]:
                    step = int(done[1].stem.split("-")[2])
                if self.halvings.before(index, step) != here:
                    here = self.halvings.before(index, step)
                    finer = with_substeps(eqx.combine(pair[0], static), base * 2**here)
                    params, static, stages = self.stages(finer, method)
                    pair, make = (params, None), stages[index][1]
                stage = make(pair[0])
                if state is not None:
                    state = with_substeps(state, base * 2**here)
                    stage = dataclasses.replace(stage, state=state)
                taken = done is not None and state is None
                pair, outcome, state = self._leg(index, name, stage, taken)
                if not outcome.reason.startswith(HALVED):
                    break
                self.halvings.add(index, outcome.steps)
            seconds = time.perf_counter() - began
            reason = outcome.reason
            if at := [str(s) for p, s in self.halvings.rows if p == index]:
                reason += f"; the step was halved at {', '.join(at)}"
            outcomes.append(
                dataclasses.replace(outcome, seconds=seconds, reason=reason)
            )
        assert stage is not None
        return eqx.combine(pair[0], static), pair[1], stage.items, outcomes

    def _skips(self, outcomes: list[Outcome]) -> str | None:
        """Why the phases that are left do not run, if so."""
        if any(o.reason.startswith(NOT_FINITE) for o in outcomes):
            return "skipped: a phase before stopped"
        if time.perf_counter() > self.deadline:
            return f"skipped: the limit of {self.config.train.minutes:g} min"
        return None

    def one(self, index: int, name: str, stage: Stage, resumed: bool) -> Any:
        """One stage through the loop: what it found, and its outcome."""
        return self._leg(index, name, stage, resumed)[:2]

    def _leg(self, index: int, name: str, stage: Stage, resumed: bool) -> Any:
        """One stage, or its part until the step is halved; with the last state."""
        began = time.perf_counter()
        state, ended = stage.state, None
        # The refit has a folder of its own: were its checkpoints the newest, the
        # judged ensemble would be gone.
        place = "resume" if index < REFIT else "resume/refit"
        if self.folder is not None and resumed:
            state, ended = taken_up(self.folder / place, index, stage.state)
        last: dict[str, Any] = {}
        callbacks = watching(
            name,
            index,
            stage.num_steps,
            int(state.step),
            folder=self.folder,
            place=place,
            deadline=self.deadline,
            minutes=self.config.train.minutes,
            tell=self.tell,
            score=stage.score,
            settles=stage.settles,
            last=last,
        )
        callbacks = [*self._own(index, stage, state), *callbacks]
        if self.tell is not None:
            head = {"phase": name, "index": index, "total": stage.num_steps}
            self.tell({**head, "step": int(state.step)})
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
        if ended.startswith(NOT_FINITE):
            told = blame(
                stage,
                state.params,
                np.atleast_1d(state.bad),
                debug=self.debug_nans,
            )
            ended = f"{ended} {told}".strip()
        pair = finish(state)

        def pick(key: str) -> float | None:
            values = np.atleast_1d(np.asarray(last.get(key, []), float))
            values = values[np.isfinite(values)]
            return float(np.median(values)) if len(values) else None

        return (
            pair,
            Outcome(
                name,
                int(state.step),
                stage.clip,
                stage.clips,
                time.perf_counter() - began,
                ended,
                pick("loss"),
                pick("validation"),
            ),
            state,
        )

    def _own(self, index: int, stage: Stage, state: Any) -> list[AbstractCallback]:
        """The caller's callbacks; a guard of the step gets something to measure. Of
        the refit it looks at what comes out, only: the step that was judged stays."""
        refit, step = index >= REFIT, int(state.step)
        for callback in self.guards:
            held = self._held_out(callback.samples) if stage.clip > 1 else None
            gap = None
            if held is None and stage.clip > 1 and not refit:
                warnings.warn(
                    "fewer than four samples are held out: the guard of the step has "
                    "nothing to measure a solver gap on. Give longer records.",
                    FitWarning,
                    stacklevel=2,
                )
            if held is not None:
                static = stage.items[0]
                shared = static if isinstance(static, Model) else member(static[0], 0)
                gap = lambda pair, s=shared, held=held: solver_gap(pair[0], s, *held)
            made = self.halvings.before(index, step)
            callback.bind(gap, step, made, halves=not refit)
        return list(self.guards if refit else self.callbacks)

    def _validation(self, static: Any) -> Any:
        """Mean squared error on validation clips of the longest length, compiled."""
        held = self._held_out()
        if held is None:
            return None
        return lambda pair: validation_score(pair[0], static, *held)

    def _held_out(self, samples: int | None = None) -> tuple[Any, Any, Any] | None:
        """Start states, validation clips of so many samples (None: as many as the
        longest of the training), weights of channels."""
        p = self.prepared
        longest = int((p.validation.lengths.max() - 1) // p.every) + 1
        wanted = max(self.config.train.clips) if samples is None else samples
        length = min(wanted, longest)
        if length < 4:
            return None
        if length not in self._clips:
            self._clips[length] = self._cut(length)
        return self._clips[length]

    def _cut(self, length: int) -> tuple[Any, Any, Any]:
        p = self.prepared
        host = p.validation.clips(
            length, max(1, (length - 1) * p.every // 2), every=p.every, dtype=self.dtype
        )
        states = estimate_states(p.validation, p.plan)
        starts = start_states(states, host, self.dtype)
        good = np.flatnonzero(np.isfinite(starts).all(1))
        good = good[:: max(1, len(good) // 32)]
        items = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[good]), host)
        starts = jnp.asarray(starts[good])
        weight = jnp.asarray(1.0 / observed_spread(p.train), self.dtype)
        return starts, items, weight
