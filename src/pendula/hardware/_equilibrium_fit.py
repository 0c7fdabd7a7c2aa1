"""Train an equilibrium network, and what is to be known of it afterwards."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from .._checks import not_negative, whole
from .._errors import ConfigError, FitWarning, Status
from .._types import AnyArray
from ..data import ShuffledBatches
from ..train import AbstractCallback, TrainState, gradient_step, init_opt, run
from ._equilibrium_net import EquilibriumNet
from ._equilibrium_propagation import AbstractRule, Nudged, Watched, equilibrium_loss
from ._tables import as_table, check_labels


@eqx.filter_jit
def _settle(net: EquilibriumNet, xs: Any, steps: int, tol: Any) -> tuple:
    def one(x: Any) -> tuple:
        found = net.relax(x, steps=steps, tol=tol)
        return net.logits(net.active(found.states)), found.residual, found.status

    return jax.vmap(one)(xs)


@dataclasses.dataclass(frozen=True)
class FittedEquilibrium:
    """A trained equilibrium network.

    `net`; `rule` that its gradients came from; `losses`: of the batches that the loop
    looked at; `watched`: how the relaxations of the training went; `seconds` of it,
    compilation included; `reason` why it ended.
    """

    net: EquilibriumNet
    rule: AbstractRule
    losses: np.ndarray
    watched: Watched
    seconds: float
    reason: str

    @property
    def unsettled(self) -> float:
        """Share of the samples of the training with a relaxation that did not reach
        its tolerance."""
        return float(self.watched.unsettled) / max(1, int(self.watched.samples))

    def logits(
        self, xs: AnyArray, *, steps: int = 200, tol: float = 1e-5, batch: int = 500
    ) -> np.ndarray:
        """Logits `"sample class"` at the free fixed points. **Warns:** `FitWarning`
        with the largest residual where some did not settle."""
        xs = as_table(xs, "samples", self.net.sizes[0])
        whole(1, batch=batch, steps=steps)
        parts, late, worst, limit = [], 0, 0.0, jnp.asarray(tol)
        for begin in range(0, len(xs), batch):
            cut = np.asarray(xs[begin : begin + batch], np.float32)
            lack = min(batch, len(xs)) - len(cut)  # batches of one shape
            wide = np.concatenate([cut, np.zeros((lack, cut.shape[1]), cut.dtype)])
            made, residual, status = jax.device_get(
                _settle(self.net, wide, steps, limit)
            )
            parts.append(made[: len(cut)])
            late += int(np.sum(status[: len(cut)] != Status.ok))
            worst = max(worst, float(residual[: len(cut)].max()))
        if late:
            warnings.warn(_late(late, len(xs), worst), FitWarning, stacklevel=2)
        return np.concatenate(parts)

    def score(self, xs: AnyArray, labels: AnyArray) -> float:
        """Share of the samples that are given their class."""
        wanted = check_labels(labels, len(xs), self.net.readout_bias.size)
        return float(np.mean(self.logits(xs).argmax(axis=1) == wanted))

    def summary(self) -> str:
        """What came out, in two sentences."""
        watched = self.watched
        return (
            f"Trained for {self.seconds:.1f} s ({self.reason}), last loss "
            f"{self.losses[-1]:.3g}. {100 * self.unsettled:.3g} % of "
            f"{int(watched.samples)} samples did not settle, largest residual "
            f"{float(watched.residual):.2g}."
        )


def fit_equilibrium(
    net: EquilibriumNet,
    xs: AnyArray,
    labels: AnyArray,
    rule: AbstractRule | None = None,
    *,
    epochs: int = 3,
    batch: int = 20,
    transform: optax.GradientTransformation | None = None,
    homeostatic: float = 0.0,
    probes: int = 5,
    one_noise: bool = False,
    seed: int = 0,
    callbacks: Sequence[AbstractCallback] = (),
) -> FittedEquilibrium:
    """Train a network of equilibria on labelled samples.

    **Shapes**: `xs` `"sample in"`, `labels` `"sample"`, whole numbers from 0 on.
    **Arguments:**
    - `net`: as it starts; `rule`: where gradients come from, `Nudged()` without.
    - `epochs`, `batch`: passes over the samples, each in a new order of `seed`, and
      samples a step; the rest of a pass that fills no batch is left out.
    - `transform`: of Optax; Adam at 0.005, falling by a cosine, without.
    - `homeostatic`, `probes`, `one_noise`: as for `equilibrium_loss`.

    **Returns:** a `FittedEquilibrium`. **Warns:** `FitWarning` where more than 1 % of
    the samples did not settle.
    **Raises:** `ShapeError`, `DataError`, `ConfigError` for data and settings that
    cannot be used.

    ```python
    >>> import jax, numpy as np, optax
    >>> from pendula.hardware import EquilibriumNet, fit_equilibrium
    >>> labels = np.arange(80) % 2
    >>> xs = np.eye(4)[np.arange(80) % 4]
    >>> net = EquilibriumNet((4, 6, 5), 2, key=jax.random.key(0))
    >>> fitted = fit_equilibrium(
    ...     net, xs, labels, epochs=20, transform=optax.adam(0.05))
    >>> fitted.score(xs, labels)
    1.0

    ```
    """
    began = time.perf_counter()
    xs = as_table(xs, "samples", net.sizes[0]).astype(np.float32)
    labels = check_labels(labels, len(xs), net.readout_bias.size)
    _check_counts(epochs, batch, len(xs))
    not_negative(homeostatic=homeostatic)
    rule = Nudged() if rule is None else rule
    batches = ShuffledBatches((xs, labels), batch, seed)
    count = batches.per_epoch * epochs
    if transform is None:
        transform = optax.adam(optax.cosine_decay_schedule(5e-3, count))
    options = {"homeostatic": float(homeostatic), "probes": probes}

    def loss(params: Any, batch: Any, key: Any) -> tuple:
        (net, before), (xs, labels) = params, batch
        value, now = equilibrium_loss(
            net, xs, labels, rule, key=key, one_noise=one_noise, **options
        )
        worst = jnp.maximum(before.residual, now.residual)
        late = before.unsettled + now.unsettled
        return value, Watched(worst, late, before.samples + now.samples)

    losses: list[float] = []
    step = gradient_step(loss, transform, statistics=True)
    start: Any = (net, Watched.nothing(net.readout.dtype))
    key = jax.random.fold_in(jax.random.key(seed), 1)
    state = TrainState.start(start, init_opt(transform, net), key)
    state, reason = run(
        step, state, batches, [_Losses(losses.append), *callbacks], num_steps=count
    )
    trained, watched = state.params
    watched = Watched(*jax.device_get(tuple(watched)))
    seconds = time.perf_counter() - began
    made = FittedEquilibrium(
        trained, rule, np.asarray(losses), watched, seconds, reason
    )
    if made.unsettled > 0.01:
        late = int(watched.unsettled)
        text = _late(late, int(watched.samples), float(watched.residual))
        warnings.warn(text, FitWarning, stacklevel=2)
    return made


class _Losses(AbstractCallback):
    """Notes the loss."""

    def __init__(self, note: Callable[[float], None]) -> None:
        self.note = note

    def __call__(self, state: TrainState, row: dict[str, Any]) -> TrainState:
        self.note(float(row["loss"]))
        return state


def _late(late: int, samples: int, residual: float) -> str:
    return (
        f"{late} of {samples} relaxations did not reach their fixed point, largest "
        f"residual {residual:.3g}. Raise steps, loosen tol, or make the weights or the "
        "nudge smaller."
    )


def _check_counts(epochs: int, batch: int, samples: int) -> None:
    if epochs < 1 or not 1 <= batch <= samples:
        raise ConfigError(
            f"epochs {epochs} and batches of {batch} from {samples} samples; expected "
            "at least one epoch, and batches of 1 to all samples."
        )
    whole(1, epochs=epochs, batch=batch)
