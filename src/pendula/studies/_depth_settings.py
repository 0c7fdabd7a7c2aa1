"""Part `settings` of study `depth`: grid, batch and rate of the MNIST networks, chosen
on training images that no network of the other parts sees."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ..depth import ImageNetConfig
from ._claim import Claim
from ._depth import depth
from ._depth_nets import BATCH, POOL, RATE, images, mnist_training, trained
from ._row import Row
from ._study import Run


_POOLS, _BATCHES, _RATES = (1, 2, 4), (32, 64), (0.1, 0.05)


def _id(pool: int, batch: int, lr: float) -> str:
    return f"depth.settings.pool{pool}_batch{batch}_lr{lr:g}".replace("0.", "0_")


def _rows() -> Iterator[Row]:
    for pool, batch, lr in itertools.product(_POOLS, _BATCHES, _RATES):
        yield Row(
            _id(pool, batch, lr),
            f"MNIST, Euler, mean over a grid of {pool} x {pool}, batch {batch}, rate "
            f"{lr:g}: share of 5000 held-out training images that are right.",
            better="higher",
        )
    yield Row(
        "depth.settings.chosen",
        "Accuracy lost by the settings of part `mnist` against the best of these.",
        "points",
        target=0.3,
        tried="Twelve settings, one seed each, 3 epochs; the best of them is taken "
        "where the difference is more than the noise of 5000 images.",
    )


@depth.part(
    "settings",
    tuple(_rows()),
    full={"train": 10_000, "held": 5_000, "epochs": 3},
    quick={"train": 64, "held": 100, "epochs": 1},
)
def settings(run: Run) -> Iterator[Claim]:
    """One training a setting, judged on held-out training images."""
    s = run.settings
    data = images("mnist", "train", s["train"])
    held = images("mnist", "train", s["held"], start=s["train"])
    found = {}
    for pool, batch, lr in itertools.product(_POOLS, _BATCHES, _RATES):
        fit = trained(
            run,
            f"pool{pool}-batch{batch}-lr{lr:g}",
            ImageNetConfig.mnist(pool=pool),
            data,
            mnist_training(s["epochs"], batch, lr),
        )
        found[pool, batch, lr] = fit.accuracy(held)
        yield run.row(_id(pool, batch, lr)).measured(found[pool, batch, lr])
    lost = 100.0 * (max(found.values()) - found[POOL, BATCH, RATE])
    yield run.row("depth.settings.chosen").measured(lost)
