"""Study `latent`: autoencoders that move in their latent space, beside the classical
methods."""

from __future__ import annotations

from typing import Any

from .._tree import num_parameters
from ..latent import (
    AbstractLatentModel,
    FieldCodec,
    FittedLatent,
    LatentFitConfig,
    fit_latent,
)
from ._study import Run, study


latent = study(
    "latent",
    "Latent dynamics: stable autoencoders of a cylinder wake, consistent Koopman "
    "autoencoders, few sensors, sea-surface temperature, with the dynamic mode "
    "decomposition in every table.",
)
PAE = "arXiv:1905.10866"
KAE = "arXiv:2003.02236"


def trained_latent(
    run: Run,
    name: str,
    model: AbstractLatentModel,
    data: Any,
    codec: FieldCodec,
    config: LatentFitConfig,
) -> FittedLatent:
    """A training whose result outlives a kill."""
    path = run.scratch / f"{name}.safetensors"
    if not path.exists():
        run.progress(f"training {name}, {num_parameters(model)} parameters")
        fit_latent(model, data, codec, config).save(path)
    return FittedLatent.load(path)
