"""Study `latent`: autoencoders that move in their latent space, beside the classical
methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._tree import num_parameters
from ..latent import (
    AbstractLatentModel,
    FieldCodec,
    FittedLatent,
    LatentFitConfig,
    fit_latents,
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
    return trained_latents(run, name, [model], [data], [codec], config)[0]


def trained_latents(
    run: Run,
    name: str,
    models: Sequence[AbstractLatentModel],
    data: Sequence[Any],
    codecs: Sequence[FieldCodec],
    config: LatentFitConfig,
) -> list[FittedLatent]:
    """The same of several at once."""
    paths = [run.scratch / f"{name}_{k}.safetensors" for k in range(len(models))]
    if not all(path.exists() for path in paths):
        count = num_parameters(models[0])
        run.progress(f"training {name}, {len(models)} of {count} parameters")
        fitted = fit_latents(models, data, codecs, config)
        for one, path in zip(fitted, paths, strict=True):
            one.save(path)
    return [FittedLatent.load(path) for path in paths]
