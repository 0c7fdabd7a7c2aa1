"""Part `quantised` of study `physical`: weights of few levels, binary ones, and a coder
for a front-end chip."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..hardware import (
    BiPer,
    Code,
    DiscretizeThenNoise,
    FrontEndCoder,
    RangeNoise,
    encoder_cost,
    fit_encoder,
    quantise,
    quantised,
)
from ._analog_nets import SET, WAYS, digits, kept, right, trained
from ._claim import Claim
from ._depth_nets import images
from ._figures import COLOURS, figure
from ._physical import physical
from ._row import Row
from ._study import Run


_P = "physical.quantised"
_BITS = (6, 4, 3, 2)
_HOW = f"{SET}, momentum descent, 3 epochs"
_BENGIO = "the gradient: Bengio et al. 2013, arXiv:1308.3432"
_CHIP = "ours; the chip: Di Guglielmo et al. 2021, arXiv:2105.01683"
_LEVEL, _FEW = 0.05, 4


def _code(bits: int) -> Code:
    """Levels of a number of bits; few ones do not reach to the outermost weight."""
    return quantise(bits, reach=2.0 if bits <= 3 else None)


def _reach(bits: int) -> str:
    return ", levels up to 2 root mean squares" if bits <= 3 else ""


def _rate(bits: int) -> float:
    """Under two bits a rate of 0.05 ends at chance."""
    return 0.01 if bits <= 3 else 0.05


def _rows() -> Iterator[Row]:
    yield Row(f"{_P}.exact", f"{_HOW}, exact weights: accuracy.", "%", better="higher")
    for bits in _BITS:
        yield Row(
            f"{_P}.rounded_{bits}",
            f"{_HOW}, rounded to {bits} bits a weight afterwards{_reach(bits)}: "
            "accuracy.",
            "%",
            better="higher",
        )
        more: dict[str, Any] = {}
        if bits in (6, 4):
            more = {
                "target": 96.0,
                "tried": "One scale a tensor, nearest rounding, as the recipe is.",
            }
        yield Row(
            f"{_P}.aware_{bits}",
            f"{_HOW} under {bits} bits a weight{_reach(bits)}, rate {_rate(bits):g}: "
            "accuracy with those weights.",
            "%",
            better="higher",
            source=_BENGIO,
            **more,
        )
    yield Row(
        f"{_P}.stochastic_{_FEW}",
        f"The same under {_FEW} bits, stochastic rounding in training, nearest after.",
        "%",
        better="higher",
        source="Gupta et al. 2015, arXiv:1502.02551",
    )
    yield Row(
        f"{_P}.binary",
        f"{_HOW} under binary weights, gradient of the sine (BiPer): accuracy.",
        "%",
        better="higher",
        source="Vargas et al. 2024, arXiv:2404.01278",
    )
    for key, words in {
        "noisy_exact": "trained with exact weights",
        "noisy_levels": f"trained under {_FEW} bits",
        "noisy_both": f"trained under {_FEW} bits and that noise",
    }.items():
        yield Row(
            f"{_P}.{key}",
            f"{_HOW}; {words}, then {_FEW} bits a weight and noise of {_LEVEL} of "
            "their range: accuracy, mean of 20 draws.",
            "%",
            better="higher",
        )
    yield Row(
        f"{_P}.noisy_gain",
        "The same: trained under levels and noise less trained with exact weights.",
        "points",
        better="higher",
        target=0.0,
        tried="One draw of the noise a step.",
    )
    for key, words in {
        "exact": "exact weights",
        "aware": "trained under 6 bits a weight",
        "rounded": "rounded to 6 bits afterwards",
        "aware_3": "trained under 3 bits a weight",
        "rounded_3": "rounded to 3 bits afterwards",
    }.items():
        yield Row(
            f"{_P}.coder_{key}",
            f"Autoencoder of digits, encoder of 8 filters and 16 outputs, {words}: "
            "share of the variance of test images that is lost.",
            source=_CHIP,
        )
    for key, (words, unit) in {
        "parameters": ("parameters", ""),
        "bits": ("bits of all weights at 6 bits", "bits"),
        "multiplications": ("multiplications a picture", ""),
    }.items():
        yield Row(
            f"{_P}.coder_{key}",
            f"The encoder: {words}, counted (the published chip: 3.6 mm^2, 95 mW, 2.4 "
            "nJ an inference in 65 nm, which is not comparable with a count).",
            unit,
            source=_CHIP,
        )


@physical.part(
    "quantised",
    tuple(_rows()),
    full={
        "seeds": 3,
        "train": 60_000,
        "test": 2000,
        "epochs": 3,
        "draws": 20,
        "coder": 20_000,
        "rounds": 5,
    },
    quick={
        "seeds": 1,
        "train": 256,
        "test": 50,
        "epochs": 1,
        "draws": 2,
        "coder": 128,
        "rounds": 1,
    },
)
def few_levels(run: Run) -> Iterator[Claim]:
    """Digits under codes, then the coder."""
    s = run.settings
    train, test = digits("train", s["train"]), digits("test", s["test"])
    noisy = DiscretizeThenNoise(quantise(_FEW), RangeNoise(), _LEVEL)
    codes: dict[str, Code | None] = {
        "exact": None,
        **{f"aware_{bits}": _code(bits) for bits in _BITS},
        f"stochastic_{_FEW}": quantise(_FEW, rounding="stochastic"),
        "binary": BiPer(),
        "noisy_both": noisy,
    }
    nets: dict[str, list[Any]] = {}
    rates = {f"aware_{bits}": _rate(bits) for bits in _BITS}
    for key, code in codes.items():
        lr = rates.get(key, 0.05)
        nets[key] = [
            kept(
                run,
                f"{key}-{seed}",
                lambda code=code, lr=lr, seed=seed: trained(
                    WAYS["vanilla"], train, s["epochs"], seed, lr=lr, code=code
                ),
            )
            for seed in range(s["seeds"])
        ]
    shown: dict[str, list[float]] = {}

    def score(name: str, key: str, code: Code | None) -> Iterator[Claim]:
        found = [_accuracy(net, test, code) for net in nets[key]]
        shown[name] = found
        yield run.row(f"{_P}.{name}").measured(found)

    yield from score("exact", "exact", None)
    for bits in _BITS:
        yield from score(f"rounded_{bits}", "exact", _code(bits))
        yield from score(f"aware_{bits}", f"aware_{bits}", _code(bits))
    key = f"stochastic_{_FEW}"
    yield from score(key, key, quantise(_FEW))
    yield from score("binary", "binary", codes["binary"])
    at = {}
    for name, key in (
        ("noisy_exact", "exact"),
        ("noisy_levels", f"aware_{_FEW}"),
        ("noisy_both", "noisy_both"),
    ):
        found = [_under_noise(net, test, noisy, s["draws"]) for net in nets[key]]
        at[name] = np.array(found)
        yield run.row(f"{_P}.{name}").measured(found)
    gain = at["noisy_both"] - at["noisy_exact"]
    yield run.row(f"{_P}.noisy_gain").measured(gain)
    yield from _coder(run)
    _draw(run, shown)


def _accuracy(net: Any, test: Any, code: Code | None, key: Any = None) -> float:
    seen = net if code is None else quantised(net, code, key=key)
    return 100.0 * float(jnp.mean(right(seen, test).astype(jnp.float32)))


def _under_noise(net: Any, test: Any, code: Code, draws: int) -> float:
    keys = jax.random.split(jax.random.key(9), draws)
    return float(np.mean([_accuracy(net, test, code, key) for key in keys]))


def _coder(run: Run) -> Iterator[Claim]:
    """Pictures through few numbers; each training is short."""
    s = run.settings
    shares = lambda part, n: images("mnist", part, n).pixels.astype(np.float32) / 255.0
    train, test = shares("train", s["coder"]), shares("test", s["test"])

    def lost(code: Code | None, judged: Code | None, seed: int) -> float:
        coder = FrontEndCoder((28, 28, 1), key=jax.random.key(seed))
        fitted = fit_encoder(coder, train, code, epochs=s["rounds"], seed=seed)
        return fitted.error(test, judged)

    for name, code, judged in (
        ("exact", None, None),
        ("aware", quantise(6), None),
        ("rounded", None, quantise(6)),
        ("aware_3", quantise(3), None),
        ("rounded_3", None, quantise(3)),
    ):
        found = run.keep(
            f"coder-{name}",
            lambda code=code, judged=judged: {
                "lost": [lost(code, judged, seed) for seed in range(s["seeds"])]
            },
        )
        yield run.row(f"{_P}.coder_{name}").measured(found["lost"])
    cost = encoder_cost(FrontEndCoder((28, 28, 1), key=jax.random.key(0)), 6)
    yield run.row(f"{_P}.coder_parameters").measured(cost.parameters)
    yield run.row(f"{_P}.coder_bits").measured(cost.stored_bits)
    yield run.row(f"{_P}.coder_multiplications").measured(cost.multiplications)


def _draw(run: Run, shown: dict[str, list[float]]) -> None:
    """Accuracy over bits, of both ways."""
    with figure(run.figures / "quantised.svg", 1, 3.2) as (ax,):
        for colour, way, words in zip(
            COLOURS,
            ("rounded", "aware"),
            ("rounded after training", "trained under these bits"),
            strict=False,
        ):
            runs = np.array([shown[f"{way}_{bits}"] for bits in _BITS])
            ax.plot(_BITS, np.median(runs, axis=1), color=colour, label=words)
            ax.plot(_BITS, runs, ".", color=colour, markersize=4)
        ax.plot([1] * len(shown["binary"]), shown["binary"], "k.", label="binary")
        ax.axhline(np.median(shown["exact"]), color="0.5", linestyle="--")
        ax.set_xlabel("bits a weight; dashed: exact weights")
        ax.set_ylabel("accuracy [%]")
        ax.legend(frameon=False, fontsize=8)
