"""A recurrent network in the POD coordinates of a wake: a rival without a map."""

from __future__ import annotations

import jax
import numpy as np
from jaxtyping import Float, Int

from ..data import Sequences
from ..latent import delay_windows
from ..sequences import (
    FittedSequences,
    SequenceFitConfig,
    fit_sequences,
    recurrent_model,
)
from ._study import Run


SEEN = 8
"""Snapshots that a forecast begins with."""
_BATCH = 32


def lem_forecasts(
    run: Run,
    label: str,
    rows: Float[np.ndarray, "time r"],
    train: slice,
    begin: Int[np.ndarray, " start"],
    steps: int,
    seed: int,
) -> tuple[Float[np.ndarray, "start step r"], float]:
    """Forecasts of coordinates from the `SEEN` snapshots up to each of `begin`: LEM
    learns the next snapshot of windows of the rows of `train`, and is fed with what it
    foretold. Also the seconds of the training."""
    fitted = _trained(run, label, rows[train], seed)
    window = np.stack([rows[b - SEEN + 1 : b + 1] for b in begin])
    out = np.empty((len(begin), steps, rows.shape[1]), rows.dtype)
    for k in range(steps):
        out[:, k] = fitted.predict(window)
        window = np.concatenate([window[:, 1:], out[:, k, None]], axis=1)
    return out, fitted.seconds


def _trained(run: Run, label: str, rows: np.ndarray, seed: int) -> FittedSequences:
    path = run.scratch / f"{label}_{seed}.safetensors"
    if not path.exists():
        run.progress(f"training {label}_{seed}")
        size = rows.shape[1]
        seen = delay_windows(rows[:-1], SEEN).reshape(-1, SEEN, size)
        data = Sequences.of(seen, rows[SEEN:])
        model = recurrent_model("lem", size, 64, size, key=jax.random.key(seed))
        per = max(1, len(data) // _BATCH)
        epochs = max(1, run.settings["updates"] // per)
        config = SequenceFitConfig(
            epochs=epochs,
            batch=_BATCH,
            lr=3e-3,
            drops=(max(1, epochs // 2), max(2, 3 * epochs // 4)),
            drop=0.2,
            seed=seed,
        )
        fit_sequences(model, data, config).save(path)
    return FittedSequences.load(path)
