r"""Causal weights: what comes later counts once what comes before is solved.

**Legal notice.** The authors' repository of this algorithm (CausalPINNs) states that it
is covered by a patent of the University of Pennsylvania and may not be used
commercially. It is therefore kept in this one module, off unless it is asked for;
nothing else depends on it, and using it warns.
"""

from __future__ import annotations

import dataclasses
import functools
import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._checks import fields_whole, not_negative
from .._errors import ConfigError, PendulaWarning
from ..train import AbstractCallback, StopTraining, TrainState
from ._first_order import FirstOrder
from ._objective import Objective, Trained
from ._optimise import AbstractOptimiser, OptimiserTrace, joined, placed, scope
from ._outcome import Deadline


NOTICE = (
    "causal weights: the authors' repository states that the algorithm is covered by a "
    "patent of the University of Pennsylvania and may not be used commercially."
)
"""What is said when it is used."""

_EQUATION, _INITIAL = "equation", "initial"  # names of blocks


class CausalObjective(eqx.Module):
    r"""An objective whose equation counts chunk by chunk in time.

    $$ w_m = \exp\Big(-\epsilon \big(w_0 L_0 + \sum_{k<m} L_k\big)\Big), \qquad
       L = \frac1M \sum_m w_m L_m $$

    with $L_m$ the mean of squares of the equation's rows in chunk m, $L_0$ that of the
    initial condition where it is soft; no slope goes through $w_m$.

    **Arguments:** `objective`; `chunk`: of each point of the equation; `strength`:
    $\epsilon$; `initial`: $w_0$; `chunks`: M.
    **Source:** Wang, Sankaran, Perdikaris 2022, algorithm 1 (arXiv:2203.07404).
    """

    objective: Objective
    chunk: Int[Array, "point"]
    strength: Float[Array, ""]
    initial: Float[Array, ""]
    chunks: int = eqx.field(static=True)
    """M."""

    @property
    def weights(self) -> Float[Array, "block"]:
        """w_b of each block."""
        return self.objective.weights

    def causal(self, residuals: list[Array]) -> Float[Array, "chunk"]:
        """w_m of each chunk."""
        names = self.objective.names()
        rows = residuals[names.index(_EQUATION)]
        squares = jnp.sum(rows * rows, axis=1)
        each = jax.ops.segment_sum(squares, self.chunk, self.chunks)
        count = jax.ops.segment_sum(jnp.ones_like(squares), self.chunk, self.chunks)
        means = each / count
        before = jnp.cumsum(means) - means
        for name, r in zip(names, residuals, strict=True):
            if name == _INITIAL:
                before = before + self.initial * jnp.sum(r * r) / r.shape[0]
        return jax.lax.stop_gradient(jnp.exp(-self.strength * before))

    def residuals(self, theta: Trained) -> list[Array]:
        """The rows of each block; those of the equation times the root of w_m."""
        found = self.objective.residuals(theta)
        root = jnp.sqrt(self.causal(found))[self.chunk][:, None]
        where = self.objective.names().index(_EQUATION)
        return [root * r if k == where else r for k, r in enumerate(found)]

    def terms(self, theta: Trained) -> Float[Array, "block"]:
        """Mean squares of each block."""
        sums = [jnp.sum(r * r) / r.shape[0] for r in self.residuals(theta)]
        return jnp.stack(sums)

    def loss(self, theta: Trained) -> Float[Array, ""]:
        """The loss of the objective itself, all chunks alike: what trainings with
        different strengths are compared by."""
        return self.objective.loss(theta)


@functools.cache
def _say() -> None:
    """The notice, once a process."""
    warnings.warn(NOTICE, PendulaWarning, stacklevel=3)


class _Settled(AbstractCallback):
    """Stops once every chunk counts (nearly) in full."""

    def __init__(self, objective: CausalObjective, enough: float) -> None:
        self.objective, self.enough = objective, enough

    def __call__(self, state: TrainState, row: dict[str, Any]) -> TrainState:
        theta, _ = state.params
        if float(_lowest(self.objective, theta)) > self.enough:
            raise StopTraining("converged")
        return state


@eqx.filter_jit
def _lowest(objective: CausalObjective, theta: Trained) -> Float[Array, ""]:
    """The smallest weight of all chunks."""
    return jnp.min(objective.causal(objective.objective.residuals(theta)))


@dataclasses.dataclass(frozen=True)
class Causal(AbstractOptimiser):
    r"""Train with causal weights of growing strength. **Read the legal notice of this
    module**; the first use warns.

    For each $\epsilon$ of `ladder` the network is trained by `method` until the
    smallest weight is above `enough`, or the steps of `method` are made; then comes the
    next one. The last weights of each stage are kept, not those of the lowest loss:
    while late times do not count yet, the loss says little.

    **Arguments:**
    - `method`: for each stage, without a balancing by the tangent kernel.
    - `ladder`: strengths $\epsilon$, growing; `chunks`: M, of equally many points.
    - `initial`: weight of a soft initial condition in the exponent.
    - `enough`: 0.99 as published.

    **Raises:** `ConfigError` for settings that cannot be used; by `minimise` for an
    objective without time or with fewer points than chunks. **Warns:** `PendulaWarning`
    once.
    **Source:** Wang, Sankaran, Perdikaris 2022 (arXiv:2203.07404).

    ```python
    >>> from pendula.solutions._causal import Causal
    >>> from pendula.solutions._first_order import FirstOrder
    >>> Causal(FirstOrder(steps=1000), chunks=16).ladder
    (0.01, 0.1, 1.0, 10.0, 100.0)

    ```
    """

    method: FirstOrder = dataclasses.field(default_factory=FirstOrder)
    ladder: tuple[float, ...] = (1e-2, 1e-1, 1.0, 10.0, 100.0)
    chunks: int = 32
    initial: float = 1.0
    enough: float = 0.99

    def __post_init__(self) -> None:
        ladder = np.asarray(self.ladder, np.float64)
        grows = np.isfinite(ladder).all() and (np.diff(ladder) > 0.0).all()
        if not ladder.size or not ladder[0] > 0.0 or not grows:
            raise ConfigError(
                f"Causal: ladder is {self.ladder}; strengths must be above 0 and grow."
            )
        fields_whole(self, "Causal", chunks=1)
        not_negative("Causal", initial=self.initial)
        if not 0.0 < self.enough < 1.0:
            raise ConfigError(
                f"Causal: enough is {self.enough}; it must lie in (0, 1)."
            )
        if self.method.balance.kind == "ntk":
            raise ConfigError(
                'Causal: balance "ntk" does not know of causal weights. Use '
                '"grad_norm" or "none".'
            )

    def minimise(
        self,
        objective: Objective,
        theta: Trained,
        *,
        deadline: Deadline,
        key: PRNGKeyArray,
    ) -> tuple[Trained, OptimiserTrace]:
        _say()
        chunk = self._chunks(objective)
        traces = []
        for k, strength in enumerate(self.ladder):
            with scope(objective):
                at = (
                    jnp.asarray(chunk),
                    jnp.asarray(strength),
                    jnp.asarray(self.initial),
                )
                own = CausalObjective(placed(objective), *at, self.chunks)
            settled = _Settled(own, self.enough)
            theta, trace = self.method.minimise(
                own,
                theta,
                deadline=deadline,
                key=jax.random.fold_in(key, k),
                callbacks=[settled],
                best=False,
            )
            traces.append(trace)
            if trace.reason in ("budget", "not finite"):
                break
        return theta, joined(traces)

    def _chunks(self, objective: Objective) -> np.ndarray:
        """The chunk of each point of the equation: by its place in time."""
        names = objective.names()
        if not objective.form.has_time or _EQUATION not in names:
            raise ConfigError(
                "Causal: the objective has no equation in time; causal weights say "
                "nothing there. Use its method without them."
            )
        times = np.asarray(objective.known[names.index(_EQUATION)].block.points)[:, -1]
        if len(times) < self.chunks:
            raise ConfigError(
                f"Causal: {len(times)} points in {self.chunks} chunks; give more "
                "points or fewer chunks."
            )
        place = np.argsort(np.argsort(times, kind="stable"), kind="stable")
        return (place * self.chunks // len(times)).astype(np.int32)
