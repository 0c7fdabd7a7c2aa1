"""Part `mnist` of study `sequences`: digits row by row, and what disturbs them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .._tree import num_parameters
from ..data import Sequences
from ..diagnostics import robustness
from ..sequences import SequenceFitConfig, pixel_sequences
from ._claim import Claim
from ._depth_nets import images
from ._row import Row
from ._sequences import Net, sequences, trained
from ._study import Run


NETS = {
    "lipschitz": Net("lipschitz", 0.003, "Lipschitz", {"dt": 0.1}),
    "antisymmetric": Net("antisymmetric", 0.003, "antisymmetric", {"dt": 0.1}),
    "noisy": Net("noisy", 0.003, "Noisy", {"dt": 0.1, "sigma1": 0.1, "sigma2": 0.1}),
    "lem": Net("lem", 0.003, "LEM", {"dt": 0.5}),
    "cornn": Net("cornn", 0.003, "coRNN", {"dt": 0.2, "gamma": 2.7, "epsilon": 2.0}),
    "gru": Net("gru", 0.003, "GRU"),
    "lstm": Net("lstm", 0.003, "LSTM", {"forget": 1.0}),
    "lru": Net("lru", 0.003, "LRU"),
    "exprnn": Net("exprnn", 0.003, "expRNN"),
    "residual": Net("residual", 0.003, "residual", {"dt": 0.1}),
    "simple": Net("simple", 0.001, "plain tanh"),
}
_MUST = (
    "lipschitz",
    "antisymmetric",
    "noisy",
    "lem",
    "cornn",
    "gru",
    "lstm",
    "residual",
)
KINDS = {
    "white": (0.0, 0.1, 0.2, 0.3),
    "multiplicative": (0.1, 0.2, 0.3),
    "salt_and_pepper": (0.03, 0.05, 0.1),
}
_HOW = "MNIST by rows (28 x 28), 10 000 images, 5 epochs, N = 64, 10 000 test images"


def _rows() -> Iterator[Row]:
    for key, net in NETS.items():
        must = 95.0 if key in _MUST else None
        yield Row(
            f"sequences.6.{key}",
            f"{net.words}, {_HOW}: accuracy in percent.",
            "%",
            better="higher",
            target=must,
            tried="Adam, batch 64, one rate for all but the plain network."
            if must
            else None,
        )
        for kind, levels in KINDS.items():
            for level in levels:
                if level:
                    yield Row(
                        f"sequences.6.{key}_{kind}_{level:g}".replace("0.", "0"),
                        f"{net.words}, {kind.replace('_', ' ')} of {level:g}: accuracy "
                        f"in percent on {_HOW}.",
                        "%",
                        better="higher",
                    )
        yield Row(f"sequences.6.{key}_parameters", f"Weights of {net.words}, N = 64.")
        yield Row(
            f"sequences.6.{key}_seconds", f"Training of {net.words}: {_HOW}.", "s"
        )


@sequences.part(
    "mnist",
    tuple(_rows()),
    full={
        "train": 10000,
        "test": 10000,
        "epochs": 5,
        "size": 64,
        "seeds": 3,
        "noises": 5,
    },
    quick={"train": 64, "test": 20, "epochs": 1, "size": 4, "seeds": 1, "noises": 1},
)
def mnist(run: Run) -> Iterator[Claim]:
    """The last weights are kept: no image of the test chooses anything."""
    s = run.settings
    train = _rows_of("train", s["train"])
    test = _rows_of("test", s["test"])
    for key, net in NETS.items():
        table, seconds, count = [], [], 0
        for seed in range(s["seeds"]):
            model = net.model(train, s["size"], seed)
            config = SequenceFitConfig(
                epochs=s["epochs"], batch=64, lr=net.lr, seed=seed
            )
            fitted = trained(run, f"mnist_{key}_{seed}", model, train, config)
            seconds.append(fitted.seconds)
            count = num_parameters(model)
            found = robustness(
                fitted.model, test.us, test.targets, KINDS, seeds=s["noises"], batch=500
            )
            table.append(np.concatenate([found[kind].mean for kind in KINDS]))
        columns = [(kind, level) for kind, levels in KINDS.items() for level in levels]
        for (kind, level), values in zip(
            columns, 100.0 * np.array(table).T, strict=True
        ):
            name = f"sequences.6.{key}"
            if level:
                name += f"_{kind}_{level:g}".replace("0.", "0")
            yield run.row(name).measured(values)
        yield run.row(f"sequences.6.{key}_parameters").measured(count)
        yield run.row(f"sequences.6.{key}_seconds").measured(seconds)


def _rows_of(part: str, count: int) -> Sequences:
    return pixel_sequences(images("mnist", part, count), 28)
