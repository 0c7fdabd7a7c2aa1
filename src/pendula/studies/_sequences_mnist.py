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
from ._sequences import Net, late_drop, sequences, trained
from ._study import Run


_GATE = {"dt": 0.3, "gated": True}
_WIDE = _GATE | {"init_std": 4.0}
_NOISE = {"sigma1": 0.1, "sigma2": 0.1}
NETS = {
    "lipschitz": Net("lipschitz", 0.005, "Lipschitz with a gate", _WIDE),
    "lipschitz_plain": Net(
        "lipschitz", 0.005, "Lipschitz", {"dt": 0.3, "init_std": 4.0}
    ),
    "antisymmetric": Net("antisymmetric", 0.01, "antisymmetric with a gate", _GATE),
    "noisy": Net("noisy", 0.005, "Noisy with a gate", _WIDE | _NOISE),
    "lem": Net("lem", 0.005, "LEM", {"dt": 0.5}),
    "cornn": Net("cornn", 0.01, "coRNN", {"dt": 0.2, "gamma": 2.7, "epsilon": 2.0}),
    "gru": Net("gru", 0.005, "GRU"),
    "lstm": Net("lstm", 0.005, "LSTM", {"forget": 1.0}),
    "lru": Net("lru", 0.005, "LRU"),
    "exprnn": Net("exprnn", 0.01, "expRNN"),
    "residual": Net("residual", 0.005, "residual", {"dt": 0.5}),
    "simple": Net("simple", 0.001, "plain tanh"),
}
_MUST = (
    "lipschitz",
    "lipschitz_plain",
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
_HOW = (
    "MNIST by rows (28 x 28), 10 000 images, 5 epochs, batch 16, N = 64, 10 000 test "
    "images"
)

_TRIED = (
    "Adam, the rate a tenth in the last epoch; rate, step and gate by hand from a few "
    "trainings of seed 0. A wider start, gates and small batches were what helped; a "
    "residual network has none of the first two, and steps of 0.1 to 0.8, rates of "
    "0.002 to 0.01 and batches of 4 to 64 left it about where it is."
)


def _rows() -> Iterator[Row]:
    for key, net in NETS.items():
        must = 95.0 if key in _MUST else None
        yield Row(
            f"sequences.6.{key}",
            f"{net.words}, {_HOW}: accuracy in percent.",
            "%",
            better="higher",
            target=must,
            tried=_TRIED if must else None,
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
    """The last weights are kept: no image of the test chooses an epoch."""
    s = run.settings
    train = _rows_of("train", s["train"])
    test = _rows_of("test", s["test"])
    for key, net in NETS.items():
        table, seconds, count = [], [], 0
        for seed in range(s["seeds"]):
            model = net.model(train, s["size"], seed)
            config = SequenceFitConfig(
                epochs=s["epochs"],
                batch=16,
                lr=net.lr,
                drops=late_drop(s["epochs"], 0.8),
                seed=seed,
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
