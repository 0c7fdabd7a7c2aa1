"""Study `sequences`: recurrent networks as discretised differential equations, on the
published tasks and against their baselines."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from .._tree import num_parameters
from ..data import Sequences
from ..sequences import (
    FittedSequences,
    RecurrentModel,
    SequenceFitConfig,
    fit_sequences,
    recurrent_model,
)
from ._study import Run, study


sequences = study(
    "sequences",
    "Recurrent networks as discretised differential equations: their steps against "
    "formulas, their orders, the published tasks with baselines, speed beside PyTorch.",
)
LIPSCHITZ = "Erichson et al. 2021"
LEM = "Rusch et al. 2022"
NOISY = "Lim et al. 2021"


@dataclasses.dataclass(frozen=True)
class Net:
    """A network of a table: the name and settings of its cell, and its own rate."""

    cell: str
    lr: float
    words: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    def model(
        self, data: Sequences, size: int, seed: int, mode: str = "last"
    ) -> RecurrentModel:
        """As it starts."""
        return recurrent_model(
            self.cell,
            data.us.shape[2],
            size,
            data.out_size,
            mode=mode,
            key=jax.random.key(seed),
            **self.settings,
        )


def late_drop(epochs: int, share: float) -> tuple[int, ...]:
    """The epoch at whose begin the rate falls, after that share of all; of a single
    one none."""
    return (max(1, round(share * epochs)),) if epochs > 1 else ()


def trained(
    run: Run,
    name: str,
    model: RecurrentModel,
    data: Any,
    config: SequenceFitConfig,
    **how: Any,
) -> FittedSequences:
    """A training whose result and checkpoints outlive a kill."""
    path = run.scratch / f"{name}.safetensors"
    if not path.exists():
        run.progress(f"training {name}, {num_parameters(model)} parameters")
        fitted = fit_sequences(
            model, data, config, folder=run.scratch / name, seconds=120.0, **how
        )
        fitted.save(path)
    return FittedSequences.load(path)
