"""What the parts of study `depth` share: images, networks, trainings that resume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import DataError
from ..data import ImageBatches, Images, load_images, read_cifar, read_image_folder
from ..depth import (
    DepthSweep,
    FittedImages,
    ImageFitConfig,
    ImageNet,
    ImageNetConfig,
    fit_images,
    recalibrate,
)
from ._figures import COLOURS, figure
from ._study import NotHere, Run, stored_file


WORDS = {
    "resnet": "residual network",
    "euler": "trained in Euler",
    "midpoint": "trained in midpoint",
    "rk4": "trained in RK4",
}
PAPER = "Queiruga et al. 2020, arXiv:2008.02389"
POOL = 4  # the grid, batch and rate of the MNIST parts: chosen by part `settings`
BATCH, RATE = 32, 0.1
PASSES = 40  # batches on which statistics of stages are estimated


def kind(key: str) -> dict[str, Any]:
    """Settings of a network that make it one of `WORDS`."""
    return {"kind": "residual"} if key == "resnet" else {"scheme": key}


def images(name: str, part: str, count: int, start: int = 0) -> Images:
    """Some images of a set. **Raises:** `NotHere` where its files are missing."""
    try:
        if name == "cifar100":
            found = read_cifar(stored_file(name, "train.bin").parent, part)
        elif name == "tiny-imagenet-200":
            folder = stored_file(name, "wnids.txt").parent
            found = read_image_folder(folder, "validation" if part == "test" else part)
        else:
            found = load_images(name, part)
        return found.select(np.arange(start, start + count))
    except DataError as error:
        raise NotHere(str(error)) from None


def mnist_training(
    epochs: int, batch: int = BATCH, lr: float = RATE, **more: Any
) -> ImageFitConfig:
    """Cosine, Nesterov, a short rise; digits are neither cut nor mirrored."""
    return ImageFitConfig(
        epochs=epochs,
        batch=batch,
        lr=lr,
        schedule="cosine",
        warmup=0.3,
        nesterov=True,
        padding=0,
        flip=False,
        **more,
    )


def trained(
    run: Run,
    name: str,
    config: ImageNetConfig,
    data: Images,
    training: ImageFitConfig,
    seed: int = 0,
) -> FittedImages:
    """A network trained under `name`; a killed part goes on where it stopped."""
    run.progress(f"{name}: training")
    net = ImageNet(config, key=jax.random.key(seed))
    return fit_images(net, data, training, folder=run.scratch / name)


def each_seed(
    run: Run,
    name: str,
    config: ImageNetConfig,
    data: Images,
    training: ImageFitConfig,
) -> list[FittedImages]:
    """One network for each seed of the part."""
    return [
        trained(run, f"{name}-{seed}", config, data, training, seed)
        for seed in range(run.settings["seeds"])
    ]


def by_stages(
    fit: FittedImages, data: Images
) -> tuple[ImageNet, Callable[[ImageNet], Any]]:
    """The network with a running state for each stage, and what estimates the states
    of it, or of it in other steps, on `PASSES` batches as the training saw them."""
    c = fit.config
    batches = ImageBatches(
        data, fit.scaling, c.batch, c.seed + 1, padding=c.padding, flip=c.flip
    )
    given = lambda k: jnp.asarray(batches(k).x)
    estimate = lambda net: recalibrate(net, net.initial_state(), given, PASSES)
    return fit.net.with_state_mode("stages"), estimate


def draw_sweeps(path: Path, sweeps: Mapping[str, DepthSweep]) -> None:
    """Images that are wrong over the number of steps, each network in the scheme it
    was trained in."""
    with figure(path, 1, 3.4) as (ax,):
        for colour, (key, sweep) in zip(COLOURS, sweeps.items(), strict=False):
            ax.plot(
                sweep.steps,
                100.0 * (1.0 - sweep.accuracy[0]),
                "o-",
                color=colour,
                markersize=4,
                label=WORDS[key],
            )
        trained = next(iter(sweeps.values())).trained[1]
        ax.axvline(trained, color="#767676", linewidth=0.9)
        ax.set_xlabel(f"steps of each block (trained with {trained})")
        ax.set_ylabel("test images that are wrong [%]")
        ax.legend(frameon=False)
