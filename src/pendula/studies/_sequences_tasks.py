"""Parts `adding`, `fhn` and `gradients` of study `sequences`: tasks made here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._tree import num_parameters
from ..data import Sequences
from ..diagnostics import cross_entropy
from ..sequences import (
    Adding,
    SequenceFitConfig,
    fitzhugh_nagumo,
    gradient_profile,
    recurrent_model,
)
from ._claim import Claim
from ._row import Row
from ._sequences import LEM, Net, sequences, trained
from ._study import Run


_ADDING = {
    "lem": Net("lem", 0.0026, "LEM, dt 0.1", {"dt": 0.1}),
    "cornn": Net(
        "cornn",
        0.02,
        "coRNN, dt 0.06, gamma 20, epsilon 15",
        {"dt": 0.06, "gamma": 20.0, "epsilon": 15.0},
    ),
    # without the gate, and with small weights at the begin, it stays on the plateau
    "lipschitz": Net(
        "lipschitz",
        0.003,
        "Lipschitz with a gate, Euler, dt 0.03",
        {"dt": 0.03, "gated": True, "init_std": 4.0},
    ),
}
_ALL = {
    **_ADDING,
    "simple": Net("simple", 0.001, "plain tanh"),
    "lstm": Net("lstm", 0.003, "LSTM, forget bias 1", {"forget": 1.0}),
    "gru": Net("gru", 0.003, "GRU"),
}


_TRIED = {
    "lem": "Rate 0.0026, the published one.",
    "simple": "Rate 0.001.",
    "cornn": "Also dt 0.03 with the published gamma 66, epsilon 15; weak damping "
    "(gamma 1 to 5, epsilon 0.2 to 1); epsilon near 1 / dt with gamma 1 to 10: none "
    "better, most stay on the plateau. The error is still falling at the end.",
    "lipschitz": "Without a gate it does not leave the plateau of a constant answer "
    "(steps of 0.03 and 0.1, rates 0.003 and 0.01, skew A and W, larger weights).",
}


def _adding_rows() -> Iterator[Row]:
    how = "N = 64, batch 50, 3000 iterations at most, Adam, gradients cut at 1"
    for key, net in _ALL.items():
        length = 500 if key == "simple" else 200
        what = f"{net.words}; T = {length}, {how}"
        target = {"simple": 0.1, **dict.fromkeys(_ADDING, 0.01)}.get(key)
        yield Row(
            f"sequences.3.{key}",
            f"Adding problem, least mean square error on 1000 others within the "
            f"iterations: {what}.",
            better="higher" if key == "simple" else "lower",
            target=target,
            source=LEM,
            tried=_TRIED.get(key) if target is not None else None,
        )
        yield Row(
            f"sequences.3.{key}_iterations",
            f"Iterations until the error was below 0.01 (3000 where it never was): "
            f"{what}.",
        )
        yield Row(f"sequences.3.{key}_seconds", f"Time of the training: {what}.", "s")
    yield Row("sequences.3.constant", "Mean square error of always answering 1.")


@sequences.part(
    "adding",
    tuple(_adding_rows()),
    full={"seeds": 1, "size": 64, "iterations": 3000, "length": 1.0, "test": 1000},
    quick={"seeds": 1, "size": 8, "iterations": 20, "length": 0.1, "test": 50},
)
def adding(run: Run) -> Iterator[Claim]:
    """Fresh batches; a training ends where the error falls below 0.003."""
    s, per = run.settings, 100
    per = min(per, s["iterations"])
    for key, net in _ALL.items():
        ids = [f"sequences.3.{key}{w}" for w in ("", "_iterations", "_seconds")]
        if not run.wants(*ids):
            continue
        found: list[tuple[float, ...]] = []
        for seed in range(s["seeds"]):
            length = round(s["length"] * (500 if key == "simple" else 200))
            task = Adding(length, 50, seed, per)
            test = task.sequences(s["test"])
            config = SequenceFitConfig(
                epochs=s["iterations"] // per, lr=net.lr, clip=1.0, seed=seed
            )
            model = net.model(test, s["size"], seed)
            fitted = trained(
                run,
                f"adding_{key}_{seed}",
                model,
                task,
                config,
                validation=test,
                until=0.003**0.5,
            )
            rows = [(row["step"], row["score"] ** 2) for row in fitted.history]
            below = [step for step, error in rows if error < 0.01]
            first = min(below, default=s["iterations"])
            found.append((min(e for _, e in rows), first, fitted.seconds))
        for name, values in zip(ids, np.array(found).T, strict=True):
            yield run.row(name).measured(values)
    test = Adding(round(s["length"] * 200)).sequences(s["test"])
    constant = float(np.mean((test.targets - 1.0) ** 2))
    yield run.row("sequences.3.constant").measured(constant)


_KINDS = {"as_published": "data of SciPy's default method", "accurate": "accurate data"}


def _fhn_rows() -> Iterator[Row]:
    for kind, words in _KINDS.items():
        for key, name in (("lem", "LEM, dt 1"), ("lstm", "LSTM")):
            main = key == "lem" and kind == "as_published"
            yield Row(
                f"sequences.4.{key}_{kind}",
                f"FitzHugh-Nagumo one step ahead, {words}: root of the mean square "
                f"error on all of 1024 series, {name}, N = 16, 400 epochs, the best "
                "epoch on 128 others.",
                target=0.004 if main else None,
                source=LEM,
                published=0.0024 if main else None,
                tried="Adam at 0.00904, gradients cut at 1, batch 32: the published "
                "settings."
                if main
                else None,
            )
            yield Row(
                f"sequences.4.{key}_{kind}_parameters", f"Weights of {name}, N = 16."
            )
            yield Row(
                f"sequences.4.{key}_{kind}_seconds",
                f"Time of the training of {name} on {words}.",
                "s",
            )
        for key, name in (
            ("persistence", "the last value again"),
            ("line", "a straight line through the last two values"),
            ("ar2", "least squares on 2 values"),
            ("ar4", "least squares on 4 values"),
            ("ar8", "least squares on 8 values"),
        ):
            yield Row(f"sequences.4.{key}_{kind}", f"The same on {words} by {name}.")
        yield Row(
            f"sequences.4.lem_over_ar8_{kind}",
            f"Error of LEM over that of least squares on 8 values, {words}.",
            target=1.0 if kind == "as_published" else None,
            tried="The published settings." if kind == "as_published" else None,
        )
    yield Row(
        "sequences.4.data_gap",
        "Root of the mean square difference of both kinds of data.",
    )


@sequences.part(
    "fhn",
    tuple(_fhn_rows()),
    full={"train": 128, "test": 1024, "size": 16, "epochs": 400, "seeds": 3},
    quick={"train": 16, "test": 16, "size": 4, "epochs": 2, "seeds": 1},
)
def fhn(run: Run) -> Iterator[Claim]:
    """Both kinds of data, the same starts."""
    s, kept = run.settings, {}
    for kind in _KINDS:

        def made(kind: str = kind) -> dict[str, Any]:
            count = 2 * s["train"] + s["test"]
            data = fitzhugh_nagumo(count, kind)
            return {"us": data.us, "targets": data.targets}

        kept[kind] = run.keep(f"data_{kind}", made)
    for kind, arrays in kept.items():
        data = Sequences(arrays["us"], arrays["targets"])
        n = s["train"]
        train, valid, test = data[:n], data[n : 2 * n], data[2 * n :]
        errors: dict[str, np.ndarray] = {}
        for key in ("lem", "lstm"):
            settings: dict[str, Any] = {"dt": 1.0} if key == "lem" else {}
            count = 0
            found: list[tuple[float, float]] = []
            for seed in range(s["seeds"]):
                model = recurrent_model(
                    key,
                    1,
                    s["size"],
                    1,
                    mode="all",
                    key=jax.random.key(seed),
                    **settings,
                )
                config = SequenceFitConfig(
                    epochs=s["epochs"], batch=min(32, n), lr=0.00904, seed=seed
                )
                name = f"fhn_{kind}_{key}_{seed}"
                fitted = trained(run, name, model, train, config, validation=valid)
                found.append((fitted.score(test), fitted.seconds))
                count = num_parameters(model)
            errors[key], seconds = np.array(found).T
            name = f"sequences.4.{key}_{kind}"
            yield run.row(name).measured(errors[key])
            yield run.row(f"{name}_parameters").measured(count)
            yield run.row(f"{name}_seconds").measured(seconds)
        for key, value in baselines(train.us, test).items():
            errors[key] = np.asarray(value)
            yield run.row(f"sequences.4.{key}_{kind}").measured(value)
        ratio = errors["lem"] / errors["ar8"]
        yield run.row(f"sequences.4.lem_over_ar8_{kind}").measured(ratio)
    one, two = (arrays["us"] for arrays in kept.values())
    gap = np.sqrt(np.mean((one.astype(float) - two) ** 2))
    yield run.row("sequences.4.data_gap").measured(gap)


def baselines(train: np.ndarray, test: Any) -> dict[str, float]:
    """Errors of forecasts of one step by the last values alone, over all samples; where
    fewer values are known, by the model of as many."""
    out = {}
    us, wanted = test.us[..., 0].astype(float), test.targets[..., 0]
    error = lambda found: float(np.sqrt(np.mean((found - wanted) ** 2)))
    out["persistence"] = error(us)
    before = np.concatenate([us[:, :1], us[:, :-1]], axis=1)
    out["line"] = error(2 * us - before)
    found = np.zeros_like(us)
    for order in range(1, 9):
        rows = _lagged(train[..., 0].astype(float), order)
        goal = train[:, order:, 0].astype(float).ravel()
        weights, *_ = np.linalg.lstsq(rows[:, :-1].reshape(-1, order + 1), goal, None)
        found[:, order - 1 :] = _lagged(us, order) @ weights
        if order in (2, 4, 8):
            out[f"ar{order}"] = error(found)
    return out


def _lagged(v: np.ndarray, order: int) -> np.ndarray:
    """Constant and the last values, newest first, from the sample on at which there
    are so many."""
    count = v.shape[1] - order + 1
    columns = [v[:, order - 1 - k : order - 1 - k + count] for k in range(order)]
    return np.stack([np.ones((len(v), count)), *columns], axis=-1)


_PROFILES = {
    "lem": {"dt": 0.21},
    "two_scale": {},
    "cornn": {},
    "lipschitz": {},
    "antisymmetric": {},
    "residual": {},
    "exprnn": {},
    "simple": {},
    "lstm": {},
    "gru": {},
    "lru": {},
}


@sequences.part(
    "gradients",
    tuple(
        Row(
            f"sequences.gradients.{key}",
            f"Slope of the loss by the state after the first input over that by the "
            f"last one, T = 784, N = 64, untrained {key}, cross-entropy of 10 classes, "
            "noise as input.",
            source=LEM,
        )
        for key in _PROFILES
    ),
    full={"seeds": 3, "steps": 784, "size": 64},
    quick={"seeds": 1, "steps": 20, "size": 4},
)
def gradients(run: Run) -> Iterator[Claim]:
    """Whether what was seen long ago still moves the loss."""
    s = run.settings
    for key, settings in _PROFILES.items():
        ratios = []
        for seed in range(s["seeds"]):
            model = recurrent_model(
                key, 1, s["size"], 10, key=jax.random.key(seed), **settings
            )
            us = np.random.default_rng(seed).normal(size=(s["steps"], 1))
            loss = lambda y: cross_entropy(y, jnp.asarray(3))
            found = gradient_profile(model, jnp.asarray(us, jnp.float32), loss)
            ratios.append(float(found[0] / found[-1]))
        yield run.row(f"sequences.gradients.{key}").measured(ratios)
