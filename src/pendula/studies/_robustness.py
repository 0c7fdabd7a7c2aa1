"""Study `robustness`: recurrent networks on heartbeats under noise, and what is said to
make the difference: gradients, growth and curvature."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._tree import split_trainable
from ..data import Sequences
from ..diagnostics import (
    HessianOperator,
    SaltAndPepper,
    cross_entropy,
    robustness as response,
    top_eigenvalues,
    trace,
)
from ..sequences import FittedSequences, growth_rate, input_gradient
from ._claim import Claim
from ._figures import figure
from ._row import Row
from ._sequences import LIPSCHITZ, NOISY
from ._sequences_ecg import NETS, beats, on_beats
from ._study import Run, study


robustness = study(
    "robustness",
    "Recurrent networks on heartbeats: the response to noise, lost and shifted samples "
    "and attacks; gradients, growth of the state and curvature of the loss.",
)
_LEVELS = tuple(np.linspace(0.0, 1.75, 8).round(2).tolist())
_KINDS: dict[str, tuple[float, ...]] = {
    "white": _LEVELS,
    "multiplicative": _LEVELS,
    "salt_and_pepper": (0.03, 0.05, 0.1),
    "dropped": (0.1, 0.3, 0.5),
    "shift": (0.02, 0.05, 0.1),
    "fgsm": (0.05, 0.1, 0.2),
    "pgd": (0.05, 0.1, 0.2),
}
_AREAS = ("white", "multiplicative")
_HOW = "ECG5000, N = 128, 60 epochs"
_WHERE = f"{_HOW}, 1000 test beats"


def _name(net: str, kind: str, level: float) -> str:
    return f"robustness.curves.{net}_{kind}_" + f"{level:g}".replace(".", "")


def _curve_rows() -> Iterator[Row]:
    for key, net in NETS.items():
        for kind, levels in _KINDS.items():
            words = kind.replace("_", " ")
            for level in levels:
                if level:
                    yield Row(
                        _name(key, kind, level),
                        f"{net.words}, {words} of {level:g}, {_WHERE}: accuracy in "
                        "percent.",
                        "%",
                        better="higher",
                        source=NOISY,
                    )
            if kind in _AREAS:
                yield Row(
                    f"robustness.curves.{key}_{kind}_area",
                    f"{net.words}: mean accuracy over {words} from 0 to 1.75, "
                    f"{_WHERE}, in percent.",
                    "%",
                    better="higher",
                    source=NOISY,
                )


def _curves(run: Run) -> Iterator[Claim]:
    """Inputs are disturbed at inference alone; the same noise for all networks."""
    s = run.settings
    train, valid, test = beats()
    test = test[:: len(test) // s["test"]][: s["test"]]
    drawn: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in _AREAS}
    ends = (float(train.us.min()), float(train.us.max()))
    for key in NETS:
        tables: dict[str, list[np.ndarray]] = {kind: [] for kind in _KINDS}
        for seed in range(s["seeds"]):
            fitted = on_beats(run, key, seed, train, valid)
            found = _responses(fitted, test, s["noises"], ends)
            for kind, one in found.items():
                tables[kind].append(100.0 * one.mean)
        for kind, levels in _KINDS.items():
            table = np.array(tables[kind])
            for level, values in zip(levels, table.T, strict=True):
                if level:
                    yield run.row(_name(key, kind, level)).measured(values)
            if kind in _AREAS:
                area = np.trapezoid(table, levels, axis=1) / (levels[-1] - levels[0])
                yield run.row(f"robustness.curves.{key}_{kind}_area").measured(area)
                drawn[kind][NETS[key].words] = np.median(table, axis=0)
    for kind in _AREAS:
        with figure(run.figures / f"{kind}.svg", 1, 3.4) as (ax,):
            for name, values in drawn[kind].items():
                ax.plot(_LEVELS, values, marker="o", markersize=3, label=name)
            ax.set_xlabel(f"level of {kind} noise (beats have a spread of 1)")
            ax.set_ylabel("accuracy [%]")
            ax.legend(frameon=False, fontsize=8)


def _responses(
    fitted: FittedSequences, test: Sequences, noises: int, ends: tuple[float, float]
) -> dict[str, Any]:
    return response(
        fitted.model,
        test.us,
        test.targets,
        _KINDS,
        using=(SaltAndPepper(*ends),),
        seeds=noises,
        batch=500,
    )


_MEASURES = {
    "input_gradient": "norm of the slope of its outputs by the whole input, mean over "
    "100 beats",
    "growth": "growth rate of its state per unit of time, mean over 100 beats",
    "eigenvalue": "largest eigenvalue of the Hessian of its loss on 500 training beats",
    "trace": "trace of that Hessian",
}


def _sensitivity_rows() -> Iterator[Row]:
    for key, net in NETS.items():
        for name, words in _MEASURES.items():
            yield Row(
                f"robustness.sensitivity.{key}_{name}",
                f"{net.words}: {words}; {_HOW}.",
                source=NOISY if name in ("eigenvalue", "trace") else LIPSCHITZ,
            )


def _sensitivity(run: Run) -> Iterator[Claim]:
    """Of the trained networks, without noise."""
    s = run.settings
    train, valid, test = beats()
    few = jnp.asarray(test.us[: s["beats"]])
    data = (train.us, train.targets)
    for key in NETS:
        if not run.wants(*(f"robustness.sensitivity.{key}_{m}" for m in _MEASURES)):
            continue
        found: dict[str, list[float]] = {name: [] for name in _MEASURES}
        for seed in range(s["seeds"]):
            model = on_beats(run, key, seed, train, valid).model
            weights, rest = split_trainable(model)
            slopes = eqx.filter_jit(
                lambda m, us: jax.vmap(lambda u: input_gradient(m, u))(us)
            )
            rates = eqx.filter_jit(
                lambda m, us: jax.vmap(lambda u: growth_rate(m.cell, u)[0])(us)
            )

            def loss(weights: Any, batch: Any, rest: Any = rest) -> Any:
                us, labels = batch
                outs = jax.vmap(eqx.combine(weights, rest))(us)
                return jnp.mean(jax.vmap(cross_entropy)(outs, labels))

            op = HessianOperator(loss, weights, data, batch_size=len(train))
            found["input_gradient"].append(float(jnp.mean(slopes(model, few))))
            found["growth"].append(float(jnp.mean(rates(model, few))))
            found["eigenvalue"].append(_largest(op))
            found["trace"].append(float(trace(op, probes=s["probes"]).value))
        for name, values in found.items():
            yield run.row(f"robustness.sensitivity.{key}_{name}").measured(values)


def _largest(op: HessianOperator) -> float:
    """The largest eigenvalue; NaN, a run that is lost, where it was not found."""
    top = top_eigenvalues(op, 1, "largest")
    return float(top.values[0]) if top.converged else float("nan")


@robustness.part(
    "heartbeats",
    (*_curve_rows(), *_sensitivity_rows()),
    full={
        "seeds": 3,
        "size": 128,
        "epochs": 60,
        "noises": 5,
        "test": 1000,
        "beats": 100,
        "probes": 30,
    },
    quick={
        "seeds": 1,
        "size": 4,
        "epochs": 1,
        "noises": 1,
        "test": 20,
        "beats": 3,
        "probes": 2,
    },
)
def heartbeats(run: Run) -> Iterator[Claim]:
    """Both tables of the same networks, which are trained once."""
    if run.wants(*(row.id for row in _curve_rows())):
        yield from _curves(run)
    yield from _sensitivity(run)
