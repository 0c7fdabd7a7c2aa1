"""A training whose solver step was halved on the way, and where it was."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import ConfigError
from .._files import replacing
from ..solve import Adaptive, ImplicitMidpoint, scheme as find_scheme
from ..train import TrainState
from ._model import Model


FINER = 8  # steps in one training step: the model's own motion
NAME = "substeps.json"


def with_substeps(tree: Any, substeps: int) -> Any:
    """The same pytree whose models take `substeps` steps between samples; a score that
    a training has reached in longer ones is no longer the one to beat."""
    is_model = lambda node: isinstance(node, Model)
    finer = lambda n: dataclasses.replace(n, substeps=substeps) if is_model(n) else n
    made = jax.tree.map(finer, tree, is_leaf=is_model)
    if isinstance(made, TrainState):
        lost = jnp.full_like(made.score, jnp.inf)
        made = eqx.tree_at(lambda s: s.score, made, lost)
    return made


@eqx.filter_jit
def solver_gap(
    params: Any, static: Any, starts: Array, items: Any, weight: Array
) -> Float[Array, "member"]:
    """C of every member on clips: RMS between its rollouts as trained and its own
    motion, over the spread of that motion; channels times `weight`.

    **Raises:** `ConfigError` for a model whose steps are longer than a sampling
    interval, which substeps do not shorten.
    """

    def one(params: Any) -> Array:
        model = eqx.combine(params, static)
        if model.stride > 1:
            raise ConfigError(
                f"a StepGuard halves steps within a sampling interval; the model takes "
                f"one step over {model.stride} of them. Give a model of stride 1."
            )
        # stiff: no explicit scheme of such steps may come through
        implicit = isinstance(find_scheme(model.scheme), Adaptive | ImplicitMidpoint)
        best = model.scheme if implicit else "rk4"
        own = dataclasses.replace(model, scheme=best, substeps=FINER * model.substeps)

        def clip(y0: Array, item: Any) -> tuple[Array, Array]:
            given = (y0, item.t0, item.dts, item.us, item.context)
            coarse, fine = model.predict(*given), own.predict(*given)
            moved = fine - jnp.mean(fine, axis=0, keepdims=True)
            square = lambda x: jnp.mean((x * weight[None]) ** 2)
            return square(coarse - fine), square(moved)

        apart, spread = map(jnp.mean, jax.vmap(clip)(starts, items))
        # at rest there is no spread, and nothing to be apart
        return jnp.sqrt(jnp.where(apart == 0, 0.0, apart / spread))

    return jax.vmap(one)(params)


class Halvings:
    """Phase and step of each halving, kept beside the checkpoints: a resumed run
    takes the step that the interrupted one had."""

    def __init__(self, folder: Path | None, resume: bool) -> None:
        self.path = None if folder is None else folder / "resume" / NAME
        self.rows: list[list[int]] = []
        if self.path is not None and resume and self.path.exists():
            self.rows = json.loads(self.path.read_text(encoding="utf-8"))
        elif self.path is not None:
            self.path.unlink(missing_ok=True)

    def add(self, phase: int, step: int) -> None:
        """One more, made at `step` of `phase`."""
        if [phase, step] not in self.rows:
            self.rows.append([phase, step])
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as temporary:
                temporary.write_text(json.dumps(self.rows), encoding="utf-8")

    def before(self, phase: int, step: int) -> int:
        """How many were made up to `step` of `phase`."""
        return sum([p, s] <= [phase, step] for p, s in self.rows)
