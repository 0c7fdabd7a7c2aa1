"""Parts of study `sequences` that need a GPU, and data that are not at hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np

from ..data import SequenceBatch, SequenceBatches, Sequences
from ..sequences import (
    Adding,
    SequenceFitConfig,
    pixel_sequences,
    predict,
    recurrent_model,
)
from ._claim import Claim
from ._depth_nets import images
from ._row import Row
from ._sequences import LEM, LIPSCHITZ, Net, sequences, trained
from ._study import NotHere, Run


_NO_GPU = "the training needs a GPU, and none is on this machine"
_SMNIST = {
    "lipschitz": Net(
        "lipschitz",
        0.003,
        "Lipschitz, Euler",
        {"dt": 0.03, "beta": 0.75, "gamma": 1e-3},
    ),
    "lem": Net("lem", 0.0018, "LEM", {"dt": 0.21}),
}
_MUST = {
    "smnist_lipschitz": (99.0, 99.4, LIPSCHITZ),
    "smnist_lem": (99.2, 99.45, LEM),
    "psmnist_lipschitz": (95.5, 96.3, LIPSCHITZ),
    "psmnist_lem": (96.0, 96.62, LEM),
}
_TRIED = "The published settings, fewer epochs with larger batches."


def _gpu() -> None:
    """**Raises:** `NotHere` without a GPU."""
    if jax.default_backend() == "cpu":
        raise NotHere(_NO_GPU)


def _smnist_rows() -> Iterator[Row]:
    for key, (must, published, source) in _MUST.items():
        order, cell = key.split("_")
        words = "pixels in a fixed random order" if order == "psmnist" else "row by row"
        how = f"MNIST pixel by pixel, {words}, N = 128, {_SMNIST[cell].words}"
        yield Row(
            f"sequences.gpu.{key}",
            f"{how}: accuracy in percent.",
            "%",
            better="higher",
            target=must,
            source=source,
            published=published,
            tried=_TRIED,
        )
        yield Row(f"sequences.gpu.{key}_seconds", f"{how}: time of the training.", "s")
        yield Row(
            f"sequences.gpu.{key}_epoch",
            f"{how}: time of an epoch.",
            "s",
            target=30.0,
            tried=_TRIED,
        )


@sequences.part(
    "smnist",
    tuple(_smnist_rows()),
    full={"train": 60000, "test": 10000, "size": 128, "epochs": 40, "batch": 256},
    quick={"train": 60, "test": 20, "size": 4, "epochs": 1, "batch": 16},
)
def smnist(run: Run) -> Iterator[Claim]:
    """The epoch that is best on 2000 held-out training images is tested."""
    if run.budget == "full":
        _gpu()
    s = run.settings
    order = np.random.default_rng(0).permutation(784)
    whole, test = (images("mnist", part, s[part]) for part in ("train", "test"))
    for key in _MUST:
        kind, cell = key.split("_")
        permuted = order if kind == "psmnist" else None
        data = pixel_sequences(whole, permutation=permuted)
        train, valid = data.split(min(2000, len(data) // 2), seed=1234)
        net, epochs = _SMNIST[cell], s["epochs"]
        config = SequenceFitConfig(
            epochs=epochs,
            batch=min(s["batch"], len(train)),
            lr=net.lr,
            drops=(max(1, round(0.8 * epochs)),) if epochs > 1 else (),
        )
        model = net.model(data, s["size"], 0)
        fitted = trained(run, key, model, train, config, validation=valid)
        score = fitted.score(pixel_sequences(test, permutation=permuted))
        yield run.row(f"sequences.gpu.{key}").measured(100.0 * score)
        yield run.row(f"sequences.gpu.{key}_seconds").measured(fitted.seconds)
        yield run.row(f"sequences.gpu.{key}_epoch").measured(fitted.seconds / epochs)


@dataclasses.dataclass(frozen=True)
class Padded:
    """CIFAR images as 32 rows of 96 numbers and then noise, the same for all images,
    so that what is to be known was seen long ago. Batches are made when they are asked
    for: a thousand rows an image are too many to keep.

    **Source:** Chang et al. 2019 (AntisymmetricRNN), in the form of Rusch, Mishra 2021.
    """

    images: Sequences
    noise: np.ndarray
    batches: SequenceBatches

    @property
    def per_epoch(self) -> int:
        """Batches of one epoch."""
        return self.batches.per_epoch

    def __call__(self, step: int) -> SequenceBatch:
        """The batch of that step."""
        batch = self.batches(step)
        return batch._replace(us=padded(batch.us, self.noise))


def padded(rows: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Rows `"image row in"` with the noise `"time in"` behind them."""
    behind = np.broadcast_to(noise, (len(rows), *noise.shape))
    return np.concatenate([rows, behind], axis=1)


_NOISY_CIFAR = {
    "lem": Net("lem", 0.00322, "LEM", {"dt": 0.44}),
    "cornn": Net(
        "cornn", 0.0075, "coRNN", {"dt": 0.034, "gamma": 1.3, "epsilon": 12.7}
    ),
}
_CIFAR = "CIFAR-10 (as JPEG) by rows, then noise up to 1000, N = 128"
_CIFAR_ROWS = (
    Row(
        "sequences.gpu.noisy_cifar_lem",
        f"{_CIFAR}, LEM: accuracy in percent.",
        "%",
        better="higher",
        target=55.0,
        source=LEM,
        published=60.5,
        tried=_TRIED,
    ),
    Row(
        "sequences.gpu.noisy_cifar_cornn",
        f"{_CIFAR}, coRNN: accuracy in percent.",
        "%",
        better="higher",
        source="Rusch, Mishra 2021",
        published=59.0,
    ),
    Row(
        "sequences.gpu.noisy_cifar_gain",
        f"{_CIFAR}: points by which LEM is above coRNN.",
        "points",
        better="higher",
        target=0.0,
        source=LEM,
        tried=_TRIED,
    ),
)


@sequences.part(
    "noisy_cifar",
    _CIFAR_ROWS,
    full={"train": 50000, "test": 10000, "size": 128, "epochs": 30, "length": 1000},
    quick={"train": 60, "test": 20, "size": 4, "epochs": 1, "length": 40},
)
def noisy_cifar(run: Run) -> Iterator[Claim]:
    """The last weights are kept."""
    if run.budget == "full":
        _gpu()
    s = run.settings
    train, test = (
        pixel_sequences(images("cifar10", part, s[part]), 32)
        for part in ("train", "test")
    )
    noise = np.random.default_rng(0).normal(size=(s["length"] - 32, 96))
    noise = noise.astype(np.float32)
    found = {}
    for key, net in _NOISY_CIFAR.items():
        size = min(200, len(train))
        data = Padded(train, noise, SequenceBatches(train, size))
        config = SequenceFitConfig(epochs=s["epochs"], batch=size, lr=net.lr)
        model = net.model(train, s["size"], 0)
        fitted = trained(run, f"cifar_{key}", model, data, config)
        right = 0
        for start in range(0, len(test), 500):
            some = test[start : start + 500]
            whole = dataclasses.replace(some, us=padded(some.us, noise))
            out = predict(fitted.model, whole)
            right += int(np.sum(out.argmax(axis=1) == some.targets))
        found[key] = 100.0 * right / len(test)
        yield run.row(f"sequences.gpu.noisy_cifar_{key}").measured(found[key])
    gain = found["lem"] - found["cornn"]
    yield run.row("sequences.gpu.noisy_cifar_gain").measured(gain)


@sequences.part(
    "adding_2000",
    (
        Row(
            "sequences.gpu.adding_2000",
            "Adding problem, T = 2000, N = 128, batch 50: iterations of LEM until its "
            "mean square error on 1000 others was below 0.01.",
            target=4000,
            source=LEM,
            published=1900,
            tried="The published settings.",
        ),
    ),
    full={"length": 2000, "size": 128, "iterations": 4000, "test": 1000},
    quick={"length": 20, "size": 4, "iterations": 100, "test": 20},
)
def adding_2000(run: Run) -> Iterator[Claim]:
    """One seed."""
    if run.budget == "full":
        _gpu()
    s = run.settings
    task = Adding(s["length"], 50)
    test = task.sequences(s["test"])
    model = recurrent_model("lem", 2, s["size"], 1, dt=0.0242, key=jax.random.key(0))
    config = SequenceFitConfig(epochs=s["iterations"] // 100, lr=0.0026)
    fitted = trained(
        run, "adding_2000", model, task, config, validation=test, until=0.1
    )
    below = [row["step"] for row in fitted.history if row["score"] ** 2 < 0.01]
    value = min(below, default=np.inf)
    yield run.row("sequences.gpu.adding_2000").measured(value)


_ABSENT = {
    "google12_lem": ("Google12 speech commands, LEM: accuracy", "%", 95.7, LEM),
    "google12_cornn": ("Google12 speech commands, coRNN: accuracy", "%", 94.7, LEM),
    "google12_lstm": ("Google12 speech commands, LSTM: accuracy", "%", 94.9, LEM),
    "heart_rate_lem": ("BIDMC heart rate, LEM: L2 error", "bpm", 0.85, LEM),
    "heart_rate_cornn": ("BIDMC heart rate, coRNN: L2 error", "bpm", 1.61, LEM),
    "heart_rate_lstm": ("BIDMC heart rate, LSTM: L2 error", "bpm", 9.93, LEM),
    "eigenworms_lem": ("EigenWorms, LEM: accuracy on 39 sequences", "%", 92.3, LEM),
    "ptb_lem": ("Penn Treebank by characters, LEM: bits a character", "bit", 1.25, LEM),
}


@sequences.part(
    "absent",
    tuple(
        Row(
            f"sequences.absent.{key}",
            f"{words}.",
            unit,
            better="higher" if unit == "%" else "lower",
            source=source,
            published=published,
        )
        for key, (words, unit, published, source) in _ABSENT.items()
    ),
    full={"epochs": 50},
    quick={"epochs": 1},
)
def absent(run: Run) -> Iterator[Claim]:
    """Published figures whose data are too large, or licensed."""
    for key in _ABSENT:
        yield run.row(f"sequences.absent.{key}").not_run(
            "the data set is not available here: too large, or under a licence"
        )
