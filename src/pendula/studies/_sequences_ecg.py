"""Part `ecg` of study `sequences`: heartbeats, and how much noise they bear."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._tree import num_parameters
from ..data import Sequences
from ..diagnostics import robustness
from ..sequences import FittedSequences, SequenceFitConfig
from ._claim import Claim
from ._row import Row
from ._sequences import NOISY, Net, sequences, trained
from ._study import Run, stored_file


NETS = {
    "lipschitz": Net(
        "lipschitz",
        0.003,
        "Lipschitz",
        {"dt": 0.03, "beta": 0.75, "gamma": 0.001},
    ),
    "noisy": Net(
        "noisy",
        0.003,
        "Noisy (Ito)",
        {
            "dt": 0.03,
            "beta": 0.75,
            "gamma": 0.001,
            "sigma1": 0.3,
            "sigma2": 0.3,
        },
    ),
    "antisymmetric": Net("antisymmetric", 0.003, "antisymmetric", {"dt": 0.03}),
    "cornn": Net("cornn", 0.003, "coRNN", {"dt": 0.1, "gamma": 2.7, "epsilon": 4.7}),
    "exprnn": Net("exprnn", 0.003, "expRNN"),
    "lstm": Net("lstm", 0.003, "LSTM", {"forget": 1.0}),
    "lem": Net("lem", 0.003, "LEM", {"dt": 0.2}),
}
# clean, white 0.4, 0.8, 1.2, multiplicative the same (the slide lost its names: the
# order of its columns is recalled)
_PUBLISHED = {
    "antisymmetric": (97.1, 96.6, 91.6, 77.0, 96.6, 94.6, 91.2),
    "cornn": (97.5, 96.8, 92.9, 87.2, 93.9, 85.4, 78.4),
    "exprnn": (97.4, 95.6, 86.4, 76.7, 95.7, 89.4, 81.3),
    "lipschitz": (97.7, 97.4, 95.1, 88.9, 97.6, 97.0, 95.6),
    "noisy": (97.7, 97.5, 96.3, 92.6, 97.7, 97.3, 96.5),
}
LEVELS = (0.4, 0.8, 1.2)
_COLUMNS = (
    "clean",
    *(f"{k}_{v:g}" for k in ("white", "multiplicative") for v in LEVELS),
)
_HOW = (
    "ECG5000, 500 beats, N = 128, {epochs} epochs, the best on 500 others, accuracy on "
    "4000 in percent"
)
_EPOCHS = 60


def _word(column: str) -> str:
    if column == "clean":
        return "clean"
    kind, level = column.split("_")
    return f"{kind} noise of {level}"


def _rows() -> Iterator[Row]:
    how = _HOW.format(epochs=_EPOCHS)
    for key, net in NETS.items():
        for k, column in enumerate(_COLUMNS):
            published = _PUBLISHED[key][k] if key in _PUBLISHED else None
            must = 97.0 if column == "clean" and key in ("lipschitz", "noisy") else None
            yield Row(
                f"sequences.5.{key}_{column.replace('.', '')}",
                f"{net.words}, {_word(column)}: {how}.",
                "%",
                better="higher",
                target=must,
                source=NOISY if published is not None else "ours",
                published=published,
                tried="One set of settings for all networks." if must else None,
            )
        yield Row(f"sequences.5.{key}_parameters", f"Weights of {net.words}, N = 128.")
        yield Row(
            f"sequences.5.{key}_seconds",
            f"Time of one training of {net.words}: {how}.",
            "s",
            target=120.0,
            tried="60 epochs of 10 steps.",
        )
    for column in _COLUMNS:
        yield Row(
            f"sequences.5.neighbour_{column.replace('.', '')}",
            f"Nearest neighbour by Euclidean distance, {_word(column)}: accuracy on "
            "4000 beats in percent.",
            "%",
            better="higher",
        )
    for other, points in (("lipschitz", 1.0), ("antisymmetric", 5.0)):
        yield Row(
            f"sequences.5.noisy_over_{other}",
            f"Points by which Noisy is above {NETS[other].words} at white noise of "
            "1.2, seed by seed.",
            "points",
            better="higher",
            target=points,
            source=NOISY,
            published=3.7 if other == "lipschitz" else None,
            tried="Noise of the state of 0.3 of both kinds.",
        )
    yield Row(
        "sequences.5.lipschitz_over_antisymmetric",
        "Points by which Lipschitz is above antisymmetric at white noise of 1.2, seed "
        "by seed.",
        "points",
        better="higher",
        target=5.0,
        source=NOISY,
        published=11.9,
        tried="The settings of the other networks.",
    )


_PAIRS = (
    ("noisy", "lipschitz"),
    ("noisy", "antisymmetric"),
    ("lipschitz", "antisymmetric"),
)


@sequences.part(
    "ecg",
    tuple(_rows()),
    full={"seeds": 3, "size": 128, "epochs": _EPOCHS, "noises": 5, "test": 4000},
    quick={"seeds": 1, "size": 4, "epochs": 1, "noises": 1, "test": 20},
)
def ecg(run: Run) -> Iterator[Claim]:
    """Every network with every seed; the noise is the same for all."""
    s = run.settings
    train, valid, test = beats()
    test = test[: s["test"]]
    worst: dict[str, np.ndarray] = {}
    compared = [
        pair for pair in _PAIRS if run.wants(f"sequences.5.{'_over_'.join(pair)}")
    ]
    for key in NETS:
        columns = [f"sequences.5.{key}_{c.replace('.', '')}" for c in _COLUMNS]
        others = [f"sequences.5.{key}_{what}" for what in ("parameters", "seconds")]
        needed = any(key in pair for pair in compared)
        if not (needed or run.wants(*columns, *others)):
            continue
        found = [
            run.keep(
                f"{key}_{seed}",
                lambda key=key, seed=seed: _trained(run, key, seed, train, valid, test),
            )
            for seed in range(s["seeds"])
        ]
        percent = 100.0 * np.array([one["accuracy"] for one in found])
        for name, values in zip(columns, percent.T, strict=True):
            yield run.row(name).measured(values)
        worst[key] = percent[:, _COLUMNS.index("white_1.2")]
        count = int(found[0]["parameters"])
        yield run.row(others[0]).measured(count)
        yield run.row(others[1]).measured([float(one["seconds"]) for one in found])
    for column, value in zip(_COLUMNS, neighbours(train, test), strict=True):
        name = f"sequences.5.neighbour_{column.replace('.', '')}"
        yield run.row(name).measured(100.0 * value)
    for one, two in compared:
        row = run.row(f"sequences.5.{one}_over_{two}")
        yield row.measured(worst[one] - worst[two])


def _trained(
    run: Run, key: str, seed: int, train: Sequences, valid: Sequences, test: Sequences
) -> dict[str, Any]:
    """Accuracies in the columns of the table, seconds and number of weights."""
    fitted = on_beats(run, key, seed, train, valid)
    kinds = {"white": (0.0, *LEVELS), "multiplicative": LEVELS}
    found = robustness(
        fitted.model,
        test.us,
        test.targets,
        kinds,
        seeds=run.settings["noises"],
        batch=500,
    )
    return {
        "accuracy": np.concatenate([found[k].mean for k in kinds]),
        "seconds": fitted.seconds,
        "parameters": num_parameters(fitted.model),
    }


def on_beats(
    run: Run, key: str, seed: int, train: Sequences, valid: Sequences
) -> FittedSequences:
    """One of `NETS` trained on the beats, once a scratch folder."""
    s, net = run.settings, NETS[key]
    model = net.model(train, s["size"], seed)
    config = SequenceFitConfig(epochs=s["epochs"], batch=50, lr=net.lr, seed=seed)
    name = f"ecg_{key}_{seed}"
    return trained(run, name, model, train, config, validation=valid)


def beats() -> tuple[Sequences, Sequences, Sequences]:
    """Training, validation and test beats. **Raises:** `NotHere`."""
    with np.load(stored_file("ecg", "ecg5000.npz")) as stored:
        return tuple(  # type: ignore[return-value]  # three parts
            Sequences.of(
                stored[f"x_{part}"][..., None],
                stored[f"abnormal_{part}"].astype(int),
                classes=("normal", "abnormal"),
                name=f"ECG5000 {part}",
            )
            for part in ("train", "valid", "test")
        )


def neighbours(train: Sequences, test: Sequences) -> list[float]:
    """Accuracy of the nearest training beat in every column of the table."""
    rng = np.random.default_rng(0)
    x, known = test.us[..., 0], train.us[..., 0]
    noise = rng.normal(size=x.shape).astype(x.dtype)
    changed = [
        x,
        *(x + v * noise for v in LEVELS),
        *(x * (1 + v * noise) for v in LEVELS),
    ]
    out = []
    for one in changed:
        far = (one**2).sum(1)[:, None] - 2 * one @ known.T + (known**2).sum(1)
        out.append(float(np.mean(train.targets[far.argmin(1)] == test.targets)))
    return out
