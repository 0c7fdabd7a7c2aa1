"""Part `reservoir` of study `physical`: random device weights, a linear readout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ..data import Images
from ..hardware import (
    LIF,
    AbstractReservoir,
    BitStream,
    EchoState,
    LiquidStateMachine,
    RandomPairs,
    bits_accuracy,
    delayed_xor,
    fit_classes,
    fit_projections,
    fit_softmax,
    latency_code,
    memory_capacity,
    reservoir_states,
)
from ._claim import Claim
from ._depth_nets import images
from ._figures import COLOURS, sheet
from ._physical import physical
from ._row import Row
from ._study import NotHere, Run


_P = "physical.reservoir"
_LIN = "Lin et al. 2023, arXiv:2307.00771"
KINDS = {"rate": "leaky rates", "lif": "spiking neurons"}
_HOLD = {"rate": 1, "lif": 4}
_LEVELS = (0.02, 0.05, 0.10, 0.20)
_NARROW = (0.1, 0.05)
_TASK = (
    "Exclusive or of this bit and the second before, 300 neurons on random device "
    "pairs, ridge readout"
)
_TRIED = (
    "Delays of 1 to 3, gains of 0.3 to 3 (rates) and 3 to 8 (spikes), spectral radii "
    "of 0.3 to 3, membranes of 2 to 16 samples, refractory times of 0 to 8, on three "
    "chips."
)
_SUBSET = "10 000 training images, the first 2000 test images"
_RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
_ABSENT = (
    "The event data set {name} (arXiv 2307.00771) is not on this machine, and Pendula "
    "has no reader of its recordings; MNIST through a latency code stands for it."
)


def _xor_rows() -> Iterator[Row]:
    yield Row(
        f"{_P}.xor_raw",
        "The same bits, ridge on the raw inputs (this bit and both before): accuracy. "
        "The least squares fit is chance; its sign can have 25 to 75 % by luck.",
        "%",
        better="higher",
    )
    for kind, words in KINDS.items():
        yield Row(
            f"{_P}.{kind}_xor",
            f"{_TASK}, {words}, exact reads: accuracy on bits that were not fitted.",
            "%",
            better="higher",
            target=95.0,
            tried=_TRIED,
        )
        yield Row(
            f"{_P}.{kind}_kept",
            f"The same, {words}: share of the gain over the raw inputs that is kept at "
            "reads of 5 % noise (fresh at every read, of the range of the weights).",
            better="higher",
            target=0.9,
            tried=_TRIED,
        )
        for level in _LEVELS:
            yield Row(
                f"{_P}.{kind}_noise_{100 * level:.0f}",
                f"The same, {words}, fitted and judged at reads of "
                f"{100 * level:.0f} % noise: accuracy.",
                "%",
                better="higher",
            )
        yield Row(
            f"{_P}.{kind}_unseen",
            f"The same, {words}, fitted to exact reads and judged at 5 %: accuracy.",
            "%",
            better="higher",
        )
        for spread in _NARROW:
            for level in (0.0, 0.05):
                name = f"{_P}.{kind}_spread_{100 * spread:.0f}_{100 * level:.0f}"
                yield Row(
                    name,
                    f"The same, {words}, conductances with a standard deviation of "
                    f"{100 * spread:.0f} % of the largest in place of 29 %, "
                    f"reads of {100 * level:.0f} % noise: accuracy.",
                    "%",
                    better="higher",
                )


def _memory_rows() -> Iterator[Row]:
    for kind, words in KINDS.items():
        for level in (0.0, 0.05):
            yield Row(
                f"{_P}.{kind}_memory_{100 * level:.0f}",
                f"Memory capacity of 300 neurons, {words}, settings of the task, "
                f"reads of {100 * level:.0f} % noise: inputs recalled.",
                "inputs",
                better="higher",
                source="the measure: Jaeger 2002, GMD report 152",
            )
    yield Row(
        f"{_P}.linear_memory",
        "Memory capacity of 300 leaky rates at a gain of 0.1 and spectral radius 1, "
        "nearly linear, exact reads: inputs recalled.",
        "inputs",
        better="higher",
        source="the measure: Jaeger 2002, GMD report 152",
    )


def _image_rows() -> Iterator[Row]:
    ways = {
        "raw_ridge": "ridge on raw pixels (linear baseline)",
        "raw_softmax": "softmax regression on raw pixels (linear baseline)",
        "lif_ridge": "latency code, 1000 spiking neurons, ridge",
        "lif_softmax": "latency code, 1000 spiking neurons, softmax readout",
        "lif_noise_ridge": "the same with ridge, reads of 5 % noise",
        "rate_ridge": "lines as time, 1000 leaky rates, ridge",
    }
    for key, words in ways.items():
        yield Row(
            f"{_P}.mnist_{key}",
            f"MNIST, {words}: accuracy.",
            "%",
            better="higher",
            source=_LIN if "lif" in key else "ours",
            scaled_down=_SUBSET,
        )
    for key, words in {
        "raw": "raw pixels of both",
        "lif": "two chips of 500 spiking neurons",
    }.items():
        yield Row(
            f"{_P}.halves_{key}",
            f"MNIST, linear projections trained with a contrastive loss on {words}: "
            "share of 200 unseen upper halves that find their lower half.",
            "%",
            better="higher",
            source=_LIN,
            scaled_down="5000 training images, 500 steps of Adam",
        )
    for key, name in {"n_mnist": "N-MNIST", "n_tidigits": "N-TIDIGITS"}.items():
        yield Row(
            f"{_P}.{key}",
            f"{name} through a spiking reservoir of device weights: accuracy.",
            "%",
            better="higher",
            source=_LIN,
        )


def chip(
    kind: str, channels: int, key: PRNGKeyArray, pairs: RandomPairs | None = None
) -> AbstractReservoir:
    """A reservoir of 300 neurons with the settings of the task."""
    cls = {"rate": EchoState, "lif": LiquidStateMachine}[kind]
    return cls.draw(channels, 300, pairs=pairs, key=key)


@physical.part(
    "reservoir",
    (*_xor_rows(), *_memory_rows(), *_image_rows()),
    full={
        "seeds": 5,
        "bits": 6000,
        "inputs": 4000,
        "images": (10_000, 2000),
        "chips": 3,
        "pairs": (5000, 500),
    },
    quick={
        "seeds": 1,
        "bits": 400,
        "inputs": 100,
        "images": (100, 50),
        "chips": 1,
        "pairs": (60, 5),
    },
)
def reservoir(run: Run) -> Iterator[Claim]:
    """Bits, memory, images; each seed is another chip and another stream."""
    yield from _bits(run)
    yield from _memory(run)
    yield from _images(run)
    for key, name in {"n_mnist": "N-MNIST", "n_tidigits": "N-TIDIGITS"}.items():
        yield run.row(f"{_P}.{key}").not_run(_ABSENT.format(name=name))


def _bits(run: Run) -> Iterator[Claim]:
    """The task for both kinds of neurons, all levels and devices."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for kind in KINDS:
        found[kind] = run.keep(f"xor-{kind}", lambda kind=kind: _xor(run, kind))
    raw = found["rate"]["raw"]
    yield run.row(f"{_P}.xor_raw").measured(100.0 * raw)
    for kind, right in found.items():
        row = lambda name, kind=kind: run.row(f"{_P}.{kind}_{name}")
        yield row("xor").measured(100.0 * right["0"])
        gain = right["0"] - raw
        yield row("kept").measured((right["5"] - raw) / gain)
        for level in _LEVELS:
            name = f"{100 * level:.0f}"
            yield row(f"noise_{name}").measured(100.0 * right[name])
        yield row("unseen").measured(100.0 * right["unseen"])
        for spread in _NARROW:
            for level in (0, 5):
                name = f"spread_{100 * spread:.0f}_{level}"
                yield row(name).measured(100.0 * right[name])
    _draw(run.figures / "reservoir.svg", found)


def _xor(run: Run, kind: str) -> dict[str, list[float]]:
    """Accuracies by level and device, one a chip."""
    found: dict[str, list[float]] = {}
    add = lambda name, value: found.setdefault(name, []).append(value)
    for seed in range(run.settings["seeds"]):
        run.progress(f"reservoir, {KINDS[kind]}, chip {seed}")
        key = jax.random.key(seed)
        bits, own, reads, others = jax.random.split(key, 4)
        stream = delayed_xor(run.settings["bits"], hold=_HOLD[kind], key=bits)
        add("raw", bits_accuracy(stream.window(), stream))
        made = {
            level: _features(chip(kind, 2, own), stream, reads, level)
            for level in (0.0, *_LEVELS)
        }
        for level, features in made.items():
            add(f"{100 * level:.0f}", bits_accuracy(features, stream))
        add("unseen", bits_accuracy(made[0.0], stream, judged=made[0.05]))
        for spread in _NARROW:
            narrow = chip(kind, 2, others, RandomPairs(spread=spread))
            for level in (0.0, 0.05):
                features = _features(narrow, stream, reads, level)
                name = f"spread_{100 * spread:.0f}_{100 * level:.0f}"
                add(name, bits_accuracy(features, stream))
    return found


def _features(
    chip: AbstractReservoir, stream: BitStream, key: PRNGKeyArray, level: float
) -> np.ndarray:
    made = reservoir_states(
        chip, stream.us[None], every=stream.hold, key=key, level=level
    )
    return made[0]


def _memory(run: Run) -> Iterator[Claim]:
    """Inputs recalled, by both kinds and by rates that are nearly linear."""
    size = run.settings["inputs"]
    cases: dict[str, tuple[Any, int, float]] = {
        **{
            f"{kind}_memory_{100 * level:.0f}": (
                lambda key, kind=kind: chip(kind, 1, key),
                _HOLD[kind],
                level,
            )
            for kind in KINDS
            for level in (0.0, 0.05)
        },
        "linear_memory": (
            lambda key: EchoState.draw(1, 300, gain=0.1, bias=0.0, radius=1.0, key=key),
            1,
            0.0,
        ),
    }
    for name, (make, hold, level) in cases.items():

        def totals(
            make: Any = make, hold: int = hold, level: float = level
        ) -> dict[str, list[float]]:
            measured = []
            for seed in range(run.settings["chips"]):
                own, stream = jax.random.split(jax.random.key(seed))
                found = memory_capacity(
                    make(own), key=stream, length=size, hold=hold, level=level
                )
                measured.append(found.total)
            return {"total": measured}

        kept = run.keep(name, totals)
        yield run.row(f"{_P}.{name}").measured(kept["total"])


def _images(run: Run) -> Iterator[Claim]:
    """Digits as times of spikes and as lines, and halves that find each other."""
    keys = ("raw_ridge", "raw_softmax", "lif_ridge", "lif_softmax", "lif_noise_ridge")
    names = [f"mnist_{key}" for key in (*keys, "rate_ridge")]
    names += ["halves_raw", "halves_lif"]
    count, judged = run.settings["images"]
    try:
        train, test = images("mnist", "train", count), images("mnist", "test", judged)
    except NotHere as error:
        for name in names:
            yield run.row(f"{_P}.{name}").not_run(str(error))
        return
    data = (*_pixels(train), *_pixels(test))
    found = run.keep("mnist", lambda: _digits(run, *data))
    pairs = run.keep("halves", lambda: _halves(run, data[0], data[2]))
    for name in names:
        kind, key = name.split("_", 1)
        right = (found if kind == "mnist" else pairs)[key]
        yield run.row(f"{_P}.{name}").measured(100.0 * right)


def _pixels(some: Images) -> tuple[np.ndarray, np.ndarray]:
    """Images as shares of white, and their labels."""
    pixels = some.pixels.reshape(len(some), -1)
    return (pixels / 255.0).astype(np.float32), some.labels


def _by_latency(pixels: Array) -> Array:
    return latency_code(pixels, 16, threshold=0.05)


def _by_lines(pixels: Array) -> Array:
    return jnp.reshape(pixels, (28, 28))


def _slow_lif(channels: int, size: int, key: PRNGKeyArray) -> LiquidStateMachine:
    """Neurons that gather a whole image."""
    neuron = LIF.of(tau=32.0, refractory=0.0)
    more: dict[str, Any] = {"neuron": neuron, "radius": 0.3, "trace": 8.0}
    return LiquidStateMachine.draw(channels, size, gain=8.0, key=key, **more)


def _digits(
    run: Run, x: np.ndarray, y: np.ndarray, test: np.ndarray, labels: np.ndarray
) -> dict[str, list[float]]:
    """Accuracies of linear readouts of pixels and of reservoirs, one a chip."""

    def ridge(fit: np.ndarray, judge: np.ndarray) -> float:
        return fit_classes(fit, y, 10, ridge=_RIDGES).accuracy(judge, labels)

    def softmax(fit: np.ndarray, judge: np.ndarray) -> float:
        fitted = fit_softmax(fit, y, 10, num_steps=200, lr=0.02)
        return fitted.accuracy(judge, labels)

    found = {"raw_ridge": [ridge(x, test)], "raw_softmax": [softmax(x, test)]}
    add = lambda name, value: found.setdefault(name, []).append(value)
    for seed in range(run.settings["chips"]):
        run.progress(f"reservoir, digits, chip {seed}")
        own, reads, judged, other = jax.random.split(jax.random.key(seed), 4)
        spiking = _slow_lif(x.shape[1], 1000, own)
        for level in (0.0, 0.05):
            both = [
                _flat(spiking, table, _by_latency, 8, key, level)
                for table, key in ((x, reads), (test, judged))
            ]
            add("lif_noise_ridge" if level else "lif_ridge", ridge(*both))
            if not level:
                add("lif_softmax", softmax(*both))
        rates = EchoState.draw(28, 1000, gain=0.5, leak=0.3, key=other)
        add("rate_ridge", ridge(*(_flat(rates, t, _by_lines, 14) for t in (x, test))))
    return found


def _flat(
    chip: AbstractReservoir,
    table: np.ndarray,
    encode: Any,
    every: int,
    key: PRNGKeyArray | None = None,
    level: float = 0.0,
) -> np.ndarray:
    """Features of all slots of an image in a row."""
    made = reservoir_states(
        chip, table, encode=encode, every=every, key=key, level=level
    )
    return made.reshape(len(table), -1)


def _halves(run: Run, x: np.ndarray, test: np.ndarray) -> dict[str, list[float]]:
    """Shares of unseen upper halves that find their lower half."""
    count, steps = run.settings["pairs"]
    some, other = x[:count], test[:200]
    cut = x.shape[1] // 2
    found: dict[str, list[float]] = {"raw": [], "lif": []}
    for seed in range(run.settings["chips"]):
        run.progress(f"reservoir, halves, chip {seed}")
        first, second, own = jax.random.split(jax.random.key(100 + seed), 3)
        raw = [(table[:, :cut], table[:, cut:]) for table in (some, other)]
        chips = _slow_lif(cut, 500, first), _slow_lif(cut, 500, second)
        spiking = [
            (
                _flat(chips[0], upper, _by_latency, 8),
                _flat(chips[1], lower, _by_latency, 8),
            )
            for upper, lower in raw
        ]
        for name, (fit, judge) in (("raw", raw), ("lif", spiking)):
            pair = fit_projections(*fit, 32, num_steps=steps, key=own)
            found[name].append(pair.retrieval(*judge))
    return found


def _draw(path: Path, found: dict[str, dict[str, np.ndarray]]) -> None:
    """Accuracy over the level of the read noise, each chip a dot."""
    levels = [0.0, *(100.0 * level for level in _LEVELS)]
    with sheet(path, (5.0, 3.2), (1, 1), 9.0) as (_, (axes,)):
        for colour, (kind, right) in zip(COLOURS, found.items(), strict=False):
            runs = 100.0 * np.stack([right[f"{level:.0f}"] for level in levels])
            axes.plot(levels, np.median(runs, axis=1), color=colour, label=KINDS[kind])
            axes.plot(levels, runs, ".", color=colour, markersize=4)
        raw = 100.0 * float(np.median(found["rate"]["raw"]))
        axes.axhline(raw, color="0.5", linestyle="--", label="linear, raw inputs")
        axes.set_xlabel("read noise, % of the range of the weights")
        axes.set_ylabel("accuracy, %")
        axes.legend(frameon=False)
