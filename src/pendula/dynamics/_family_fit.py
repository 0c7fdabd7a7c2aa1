"""`meta_fit`: the law that a family shares, from unlabelled trajectories."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._errors import ConfigError, DataError
from .._files import replacing
from .._precision import precision, to_host
from .._tree import num_parameters, split_trainable
from ..data import Trajectories
from ..nn import AbstractMember
from ..train import AbstractCallback, halvings, latest, run
from ._build import build_model
from ._config import to_dict
from ._family import Family
from ._family_config import MOST_WEIGHTS, FamilyConfig
from ._family_data import FamilyData, family_data
from ._family_size import check_choice, chosen_size
from ._family_stages import family_stages
from ._family_step import HALVINGS, coarse, finer, step_change
from ._layout import check_trajectories
from ._model import Model
from ._watch import no_guard, open_folder, taken_up, watching


def meta_fit(
    data: Trajectories,
    config: FamilyConfig | None = None,
    *,
    etas: Float[np.ndarray, "system eta"] | None = None,
    folder: Path | None = None,
    resume: bool = False,
    tell: Callable[[dict[str, Any]], None] | None = None,
    callbacks: Sequence[AbstractCallback] = (),
) -> Family:
    r"""Learn the law that several systems share, and a small vector eta for each.

    $$ \min_{\theta, \eta^1..\eta^N} \sum_i L_i(\theta, \eta^i) $$

    by the mode of the configuration: `gauss_newton` and `joint` train weights and etas
    together; `first_order`, `second_order`, `implicit` and `reference` fit eta in an
    inner loop from a shared start (after a joint warm start, `reference` without).

    **Arguments:** `data` with a system index `env` (without, every trajectory is a
    system of its own); labels are never looked at. `etas`: known ones
    `"system eta"`, of size about 1, that stay as they are (physical parameters as an
    input of the network; `gauss_newton` and `joint`). `folder`: where checkpoints go;
    with `resume` a killed run goes on from the last one, by the same settings and
    data. `tell(row)` hears of progress. `callbacks` also look at every stage, in the
    order given, but not at the trainings that choose the size of eta.
    **Returns:** `Family`.
    **Raises:** `DataError` for one system, short records or mixed units,
    `ConfigError` for settings that do not fit, `CheckpointError` for a folder of
    another fit.
    **Source:** Wang 2023, chapter 4 (iMODE).

    ```python
    >>> import numpy as np
    >>> from pendula.data import Trajectories
    >>> from pendula.dynamics import FamilyConfig, ModelConfig, meta_fit
    >>> t = np.linspace(0, 3, 31)
    >>> w = [0.8, 1.0, 1.2]
    >>> ys = [np.stack([np.cos(k * t), -k * np.sin(k * t)], 1) for k in w]
    >>> made = {"system": "springs"}  # no measurement
    >>> data = Trajectories.from_arrays([t] * 3, ys, names=("q", "v"), origin=made)
    >>> small = ModelConfig(width=4, depth=1)
    >>> family = meta_fit(data, FamilyConfig(small, horizon=0.1, steps=2))
    >>> family.etas.shape
    (3, 1)

    ```
    """
    check_trajectories(data)
    config = FamilyConfig() if config is None else config
    if resume and folder is None:
        raise ConfigError("resume needs the folder to go on from: give folder.")
    no_guard(
        callbacks, "meta_fit", "tries half the step itself, and model.substeps sets it"
    )
    if etas is not None:
        etas = np.asarray(etas, np.float64)
    begun = time.perf_counter()
    found = family_data(data, config.model, config.every, config.seed, config.exact)
    check_units(data, found)
    size = None
    if config.size == 0:
        check_choice(found, config)
        _open(folder, resume, found, config, etas)
        size = _size(found, config, folder, resume, tell)
        config = dataclasses.replace(config, size=size["chosen"])
        settings = Setup(found, config, etas)
    else:
        settings = Setup(found, config, etas)
        _open(folder, resume, found, config, etas)
    with precision(settings.dtype):
        model, fitted, outcomes = settings.train(
            folder, resume, tell, HALVINGS, callbacks
        )
        model, fitted = to_host(model), np.asarray(fitted, np.float64)
    if config.head == "reference" and not settings.held:
        fitted = np.abs(fitted)  # all that its network sees
    seconds = time.perf_counter() - begun
    family = Family.of(model, fitted, found, config, settings, outcomes, seconds)
    if size is not None:
        family.about["size"] = size
    return family


def _open(
    folder: Path | None,
    resume: bool,
    found: FamilyData,
    config: FamilyConfig,
    etas: np.ndarray | None,
) -> None:
    """Make the run folder ready. A resumed fit may be given more time, nothing else.

    **Raises:** `CheckpointError` for other settings, data or systems.
    """
    if folder is None:
        return
    if not resume:
        (folder / "resume" / "size.json").unlink(missing_ok=True)
    settings = to_dict(config)
    settings.pop("minutes")
    known = None if etas is None else etas.tolist()
    systems = [
        [label, *map(int, rows)]
        for label, rows in zip(found.labels, found.rows, strict=True)
    ]
    told = {"family": settings, "etas": known, "systems": systems}
    open_folder(folder, resume, told, found.data)


def _size(
    found: FamilyData,
    config: FamilyConfig,
    folder: Path | None,
    resume: bool,
    tell: Any,
) -> dict[str, Any]:
    """The choice of the size of eta, kept for a run that is killed later."""
    path = None if folder is None else folder / "resume" / "size.json"
    if path is not None and resume and path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    size = chosen_size(found, config, Setup, tell).to_dict()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(size), encoding="utf-8")
    return size


def check_units(data: Trajectories, found: FamilyData) -> None:
    """Refuse a system whose channel is a thousand times larger than that of others:
    mixed units."""
    size = []
    for rows in found.rows:
        ys = np.where(data.mask[rows], data.ys[rows], np.nan)
        size.append(np.sqrt(np.nanmean(ys**2, axis=(0, 1))))
    size = np.asarray(size)
    # of an even number the smaller one: half of the systems may be in other units
    middle = np.nanpercentile(size, 50, axis=0, method="lower")
    gap = size / np.where(middle > 0, middle, 1.0)
    bad = np.argwhere((gap > 1e3) & (middle > 0))
    if len(bad):
        i, j = bad[0]
        raise DataError(
            f'system "{found.labels[i]}", channel "{data.names[j]}": its values are '
            f"{gap[i, j]:.3g} times those of the other systems. Are they in other "
            "units? Convert them first."
        )


class Setup:
    """One family fit: model, stages, and how they are run."""

    def __init__(
        self, found: FamilyData, config: FamilyConfig, etas: np.ndarray | None = None
    ) -> None:
        self.found, self.config, self.known = found, config, etas
        self.eta0: np.ndarray | None = None  # the shared start of the outer modes
        self.key = jax.random.key(config.seed)
        family = (config.head, config.size)
        with precision(np.float64):
            model = self._model(family)
        if not any(
            isinstance(node, AbstractMember)
            for node in jax.tree.leaves(
                model, is_leaf=lambda n: isinstance(n, AbstractMember)
            )
        ):
            raise ConfigError(
                "nothing in the model depends on eta: the family would be one system. "
                "Let it learn a force, an energy or a field, or say which constants "
                "vary."
            )
        self.weights = num_parameters(model)
        self.mode = config.mode
        if self.mode == "auto":
            few = self.weights <= MOST_WEIGHTS
            self.mode = "gauss_newton" if few else "joint"
        self._check_known()
        double = config.dtype == "float64" or (
            config.dtype == "auto" and self.mode == "gauss_newton"
        )
        self.dtype = np.dtype(np.float64 if double else np.float32)
        if config.stride > 1 and (
            self.mode == "gauss_newton" or found.data.us is not None
        ):
            raise ConfigError(
                f"stride is {config.stride}; it must be 1 for gauss_newton, which "
                "steps single intervals, and with inputs. Thin the data with every."
            )

    @property
    def held(self) -> bool:
        """Whether the etas are known and stay."""
        return self.known is not None

    def _check_known(self) -> None:
        if self.known is None:
            return
        shape = (self.found.num, self.config.size)
        if self.known.shape != shape or not np.isfinite(self.known).all():
            raise ConfigError(
                f"etas has shape {self.known.shape}; known etas are finite numbers of "
                f"shape {shape}, a row a system and size = {self.config.size} columns."
            )
        if self.mode not in ("gauss_newton", "joint"):
            raise ConfigError(
                f"mode {self.mode} looks for etas, and they are given. Take "
                "gauss_newton or joint."
            )

    def _model(self, family: tuple[str, int], other: int = 0) -> Model:
        f = self.found
        model = build_model(
            self.config.model,
            f.plan,
            f.ranges,
            f.substeps,
            jax.random.fold_in(self.key, 1 + 100 * other),
            None,
            family,
        )
        return dataclasses.replace(model, stride=self.config.stride)

    @property
    def horizon(self) -> int:
        """Samples (thinned) of the longest clips."""
        f, step = self.found, self.found.sampling * self.found.every
        longest = int((f.data.lengths.max() - 1) // f.every) + 1
        length = self.config.horizon
        if length == 0:
            period = f.period if np.isfinite(f.period) else step * longest
            length = min(period, 40 * step)
        return int(np.clip(round(length / step) + 1, 2, longest))

    def weight(self) -> jax.Array:
        """One over the spread of the channels; 1 as published."""
        one = np.ones_like(self.found.spread)
        scale = one if self.mode == "reference" else 1.0 / self.found.spread
        return jnp.asarray(scale, self.dtype)

    def _first_etas(self) -> jax.Array:
        """Where the etas of the training systems begin.

        Gauss-Newton starts from 0: its steps are the smallest that serve, so entries
        that the family does not need stay there, and the variance of eta shows how
        many it does. Descent needs systems that differ, and |eta| a slope.
        """
        shape = (self.found.num, self.config.size)
        if self.mode == "gauss_newton" and self.config.head != "reference":
            return jnp.zeros(shape, self.dtype)
        return jax.random.normal(jax.random.fold_in(self.key, 2), shape, self.dtype)

    def first(self, other: int) -> tuple[Any, Any]:
        """Fresh weights with the etas that they begin with, and what is fixed; other
        weights for each number."""
        model = self._model((self.config.head, self.config.size), other)
        model = jax.tree.map(
            lambda x: x.astype(self.dtype) if eqx.is_inexact_array(x) else x, model
        )
        params, static = split_trainable(model)
        etas = self._first_etas()
        if self.known is not None:
            etas = jnp.asarray(self.known, self.dtype)
        return (params, etas), static

    def _counts_on_step(self, pair: Any, static: Any) -> bool:
        """Whether the law so far fits its own step only, and may have a finer one."""
        if self.mode == "reference" or self.config.model.substeps:
            return False
        params, etas = pair
        model = to_host(eqx.combine(params, static))
        return coarse(*step_change(model, etas, self.found, self.horizon, self.dtype))

    def train(
        self,
        folder: Path | None,
        resume: bool,
        tell: Any,
        halvings_of_step: int = 0,
        own: Sequence[AbstractCallback] = (),
    ) -> tuple[Model, Any, list[dict[str, Any]]]:
        """All stages; (model, etas, what each came to). A law that counts on its step
        goes through the last stage again with half of it, so often at most."""
        pair, static = self.first(0)
        outcomes: list[dict[str, Any]] = []
        deadline = time.perf_counter() + 60.0 * self.config.minutes
        done = latest(folder / "resume") if folder and resume else None
        plan = family_stages(self)
        for index in range(len(plan) + halvings_of_step):
            again = index >= len(plan)
            if done is not None and index < done[0]:
                if again:
                    pair, static = _with_finer_step(pair, static)
                continue
            if time.perf_counter() > deadline and index:
                break
            if again:
                # where a killed run stood there, it has been judged
                if done is None and not self._counts_on_step(pair, static):
                    break
                pair, static = _with_finer_step(pair, static)
            stage = plan[min(index, len(plan) - 1)](static)
            state, ended = stage.start(pair), None
            if folder is not None and done is not None:
                state, ended = taken_up(folder / "resume", index, state)
                done = None
            begun = time.perf_counter()
            if ended is None:
                callbacks = watching(
                    stage.name,
                    index,
                    stage.count,
                    int(state.step),
                    folder=folder,
                    place="resume",
                    deadline=deadline,
                    minutes=self.config.minutes,
                    tell=tell,
                    score=stage.score,
                    settles=stage.settles,
                    cautious=stage.cautious,
                )
                state, ended = run(
                    stage.step,
                    state,
                    stage.batches,
                    [*own, *callbacks],
                    num_steps=stage.count,
                    log_every=stage.log_every,
                )
            pair = stage.after(state)
            outcomes.append(
                {
                    "stage": stage.name + (", finer step" if again else ""),
                    "steps": int(state.step),
                    "seconds": time.perf_counter() - begun,
                    "reason": ended,
                    "halvings": halvings(state),
                }
            )
        params, etas = pair
        return eqx.combine(params, static), etas, outcomes


def _with_finer_step(pair: tuple[Any, Any], static: Any) -> tuple[Any, Any]:
    """Weights, etas and what is fixed, with half the step: weights know of it, too."""
    params, etas = pair
    return (finer(params), etas), finer(static)
