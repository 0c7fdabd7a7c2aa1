"""Part `theory` of study `flat_minima`: the loss under noise from its curvature, beside
draws."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..diagnostics import Flatness, cross_entropy, flatness
from ..hardware import Gaussian, Uniform
from ..nn import Layers
from ._analog_nets import NOISE, SIZES, WAYS, Digits, digits, kept, started, trained
from ._claim import Claim
from ._figures import COLOURS, figure
from ._flat_minima import flat_minima
from ._row import Row
from ._study import Run


_P = "flat_minima.theory"
_SOURCE = "Wang 2023, section 2.4"
_OURS = "ours, after Wang 2023, section 2.4"
_TRIED = "Nothing else: this is the first way that was written."
_QUADRATIC = (
    "loss w'Hw/2, 50 unknowns, H = X'X/70 of random X, standard deviations within a "
    "factor of 3, {place}, 100 probes, 2000 draws"
)
_SLOPE = _QUADRATIC.format(place="away from the minimum")
_LOW = _QUADRATIC.format(place="at the minimum")
_NET = "MNIST, 784-256-128-10, 2 epochs, 1000 training images, " + NOISE
_NEAR = (0.005, 0.01, 0.02)
_FAR = (0.04, 0.08)
_KINKS = (0.02, 0.04)
_WAYS = {
    "hessian": "the Hessian",
    "gauss_newton": "the Gauss-Newton matrix",
    "difference": "differences along the noise",
}


def _tag(level: float) -> str:
    return f"{level:g}".replace(".", "")


def _quadratic_rows() -> Iterator[Row]:
    for law in ("gaussian", "uniform"):
        for name, words in (("gap", "mean"), ("var", "variance")):
            yield Row(
                f"{_P}.{law}_{name}",
                f"{law.capitalize()} noise, {_SLOPE}: distance of predicted and drawn "
                f"{words} of the loss, in joint standard errors.",
                target=3,
                source=_SOURCE if law == "gaussian" else _OURS,
                tried=_TRIED,
            )
            yield Row(
                f"{_P}.{law}_{name}_exact",
                f"The same: distance of predicted and exact {words}, in standard "
                "errors of the prediction.",
                target=3,
                source=_OURS,
                tried=_TRIED,
            )
    yield Row(
        f"{_P}.without_kurtosis",
        f"Uniform noise, {_LOW}: distance of predicted and drawn variance in joint "
        "standard errors once the term of the kurtosis is left out.",
        better="higher",
        target=3,
        source=_OURS,
        tried=_TRIED,
    )
    yield Row(
        f"{_P}.without_slope",
        f"Gaussian noise, {_SLOPE}: the same once the term of the gradient is left "
        "out.",
        better="higher",
        target=3,
        source=_OURS,
        tried=_TRIED,
    )


def _tanh_rows() -> Iterator[Row]:
    for level in (*_NEAR, *_FAR):
        words = f"tanh, {_NET} of {level:g}"
        close = {"target": 0.1, "tried": _TRIED} if level in _NEAR else {}
        yield Row(
            f"{_P}.tanh_{_tag(level)}",
            f"{words}: predicted over drawn mean of the loss added, off 1.",
            source=_SOURCE,
            **close,
        )
        yield Row(f"{_P}.tanh_gap_{_tag(level)}", f"{words}: mean of the loss added.")
        yield Row(
            f"{_P}.tanh_var_{_tag(level)}",
            f"{words}: predicted over drawn variance of the loss.",
            better="equal",
            source=_OURS,
        )
        yield Row(
            f"{_P}.tanh_slope_{_tag(level)}",
            f"{words}: share of the gradient in the predicted variance.",
            better="higher",
            source=_OURS,
        )


def _kink_rows() -> Iterator[Row]:
    for level in _KINKS:
        at = f"{_NET} of {level:g}"
        tag = _tag(level)
        for way, words in _WAYS.items():
            yield Row(
                f"{_P}.relu_{way}_{tag}",
                f"ReLU, {at}: predicted over drawn mean of the loss added, by {words}.",
                better="equal",
                source=_OURS,
            )
        yield Row(f"{_P}.relu_gap_{tag}", f"ReLU, {at}: mean of the loss added.")
        yield Row(
            f"{_P}.relu_test_{tag}",
            f"ReLU, {at}, on test images instead: predicted over drawn mean of the "
            "loss added, by the Hessian.",
            better="equal",
            source=_OURS,
        )
        yield Row(
            f"{_P}.relu_ha_{tag}",
            f"ReLU trained by HA-SGD 0.05, {at}: predicted over drawn mean of the loss "
            "added, by the Hessian.",
            better="equal",
            source=_OURS,
        )


@flat_minima.part(
    "theory",
    (*_quadratic_rows(), *_tanh_rows(), *_kink_rows()),
    full={
        "quadratics": 9,
        "probes": 100,
        "draws": 1500,
        "kink_draws": 300,
        "seeds": 3,
        "train": 60_000,
        "samples": 1000,
        "sizes": SIZES,
    },
    quick={
        "quadratics": 1,
        "probes": 4,
        "draws": 5,
        "kink_draws": 5,
        "seeds": 1,
        "train": 256,
        "samples": 20,
        "sizes": (784, 16, 8, 10),
    },
)
def theory(run: Run) -> Iterator[Claim]:
    """Exact cases first, then networks."""
    yield from _quadratics(run)
    yield from _nets(run)


class Quadratic(eqx.Module):
    """Mean of (x'w)^2 / 2 over the data."""

    def __call__(self, w: Array, x: Array) -> Array:
        return 0.5 * jnp.mean((x @ w) ** 2)


class Noise(eqx.Module):
    """A law of variance 1 times standard deviations, added to a vector."""

    law: Any
    sigma: np.ndarray

    def __call__(self, w: Array, key: Any) -> Array:
        return w + self.sigma * self.law(key, w.shape, w.dtype)


def _quadratics(run: Run) -> Iterator[Claim]:
    """Each with its own matrix, place, deviations and draws."""
    found: dict[str, list[float]] = {}
    add = lambda name, value: found.setdefault(name, []).append(value)
    off = lambda a, b, *errors: float(abs(a - b) / np.hypot(*errors))
    for seed in range(run.settings["quadratics"]):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(70, 50))
        sigma = 0.1 * rng.uniform(0.5, 1.5, size=50)
        place = 0.05 * rng.normal(size=50)
        for name, law in (("gaussian", Gaussian()), ("uniform", Uniform())):
            one = _of_quadratic(run, x, place, sigma, law, seed)
            exact = _exact(x, place, sigma, law.kurtosis)
            for what, truth in zip(("gap", "var"), exact, strict=True):
                told = [
                    getattr(one, f"{what}_{end}")[0]
                    for end in ("theory", "mc", "theory_error", "mc_error")
                ]
                add(f"{name}_{what}", off(*told))
                add(f"{name}_{what}_exact", off(told[0], truth, told[2], 0.0))
            errors = (one.var_theory_error[0], one.var_mc_error[0])
            if name == "gaussian":
                less = one.var_theory[0] - one.var_slope[0]
                add("without_slope", off(less, one.var_mc[0], *errors))
        low = _of_quadratic(run, x, np.zeros(50), sigma, Uniform(), seed)
        errors = (low.var_theory_error[0], low.var_mc_error[0])
        less = low.var_theory[0] - low.var_kurtosis[0]
        add("without_kurtosis", off(less, low.var_mc[0], *errors))
    for name, values in found.items():
        yield run.row(f"{_P}.{name}").measured(values)


def _of_quadratic(
    run: Run, x: np.ndarray, w: np.ndarray, sigma: np.ndarray, law: Any, seed: int
) -> Flatness:
    return flatness(
        Quadratic(),
        w,
        x,
        sigma=sigma,
        kurtosis=law.kurtosis,
        draw=Noise(law, sigma),
        probes=run.settings["probes"],
        draws=2000,
        eigenvalues=0,
        dtype=np.float64,
        key=jax.random.key(seed),
    )


def _exact(
    x: np.ndarray, w: np.ndarray, sigma: np.ndarray, kurtosis: float
) -> tuple[float, float]:
    """Mean and variance of what noise adds."""
    matrix = x.T @ x / len(x)
    a = sigma[:, None] * matrix * sigma
    slope = float(np.sum((sigma * (matrix @ w)) ** 2))
    tail = 0.25 * (kurtosis - 3.0) * float(np.sum(np.diag(a) ** 2))
    return 0.5 * float(np.trace(a)), slope + 0.5 * float(np.sum(a**2)) + tail


def _outputs(net: Layers, batch: Digits) -> Array:
    return jax.vmap(net)(batch[0])


def _loss(logits: Array, batch: Digits) -> Array:
    return jnp.mean(jax.vmap(cross_entropy)(logits, batch[1]))


def _measured(
    run: Run, name: str, net: Layers, batch: Digits, seed: int, **told: Any
) -> dict[str, np.ndarray]:
    """Theory and draws for a network, the noise in units of each array's span."""
    arrays = eqx.filter(net, eqx.is_inexact_array)
    span = jax.tree.map(lambda w: float(jnp.ptp(w)), arrays)

    def compute() -> dict[str, Any]:
        found = flatness(
            _loss,
            net,
            batch,
            sigma=span,
            predict=_outputs,
            eigenvalues=0,
            probes=run.settings["probes"],
            key=jax.random.key(seed),
            **told,
        )
        names = ("levels", "gap_theory", "gap_theory_error", "gap_mc", "gap_mc_error")
        more = {"var": found.var_theory / found.var_mc, "slope": found.slope_share}
        return {name: getattr(found, name) for name in names} | more

    return run.keep(name, compute)


def _nets(run: Run) -> Iterator[Claim]:
    s = run.settings
    train, test = digits("train", s["train"]), digits("test", s["samples"])
    every = s["train"] // s["samples"]
    few = tuple(x[::every][: s["samples"]] for x in train)
    found: dict[str, list[float]] = {}
    add = lambda name, value: found.setdefault(name, []).append(float(value))
    drawn: dict[str, dict[str, np.ndarray]] = {}
    for seed in range(s["seeds"]):
        net = _net(run, "tanh", train, seed)
        for name, levels, draws in (
            ("near", _NEAR, s["draws"]),
            ("far", _FAR, s["kink_draws"]),
        ):
            told = {"levels": levels, "draws": draws}
            one = _measured(run, f"tanh-{name}-{seed}", net, few, seed, **told)
            if not seed:
                drawn[f"tanh-{name}"] = one
            for k, level in enumerate(levels):
                ratio = one["gap_theory"][k] / one["gap_mc"][k]
                add(f"tanh_{_tag(level)}", abs(ratio - 1.0))
                add(f"tanh_gap_{_tag(level)}", one["gap_mc"][k])
                add(f"tanh_var_{_tag(level)}", one["var"][k])
                add(f"tanh_slope_{_tag(level)}", one["slope"][k])
        for name, one in _kinks(run, train, few, test, seed):
            if not seed:
                drawn[name] = one
            for k, level in enumerate(_KINKS):
                ratio = one["gap_theory"][k] / one["gap_mc"][k]
                add(f"{name}_{_tag(level)}", ratio)
                if name == "relu_hessian":
                    add(f"relu_gap_{_tag(level)}", one["gap_mc"][k])
    _draw(run.figures / "ratio.svg", drawn)
    for name, values in found.items():
        yield run.row(f"{_P}.{name}").measured(values)


def _kinks(
    run: Run, train: Digits, few: Digits, test: Digits, seed: int
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """The network of rectifiers: all kinds of curvature against the same draws."""
    told: dict[str, Any] = {"levels": _KINKS, "draws": run.settings["kink_draws"]}
    net = _net(run, "relu", train, seed)
    first = _measured(run, f"relu-hessian-{seed}", net, few, seed, **told)
    yield "relu_hessian", first
    for way in ("gauss_newton", "difference"):
        name = f"relu-{way}-{seed}"
        short = told | {"smooth": way, "draws": 2}
        other = _measured(run, name, net, few, seed, **short)
        shared = {k: first[k] for k in ("gap_mc", "gap_mc_error")}
        yield f"relu_{way}", other | shared
    yield "relu_test", _measured(run, f"relu-test-{seed}", net, test, seed, **told)
    noisy = _net(run, "relu", train, seed, "ha05")
    yield "relu_ha", _measured(run, f"relu-ha-{seed}", noisy, few, seed, **told)


def _net(
    run: Run, activation: str, train: Digits, seed: int, way: str = "vanilla"
) -> Layers:
    """Weights of variance 2 / fan for rectifiers, 1 / fan for tanh."""
    gain = 2.0 if activation == "relu" else 1.0
    start = started(tuple(run.settings["sizes"]), seed, activation, gain)
    make = lambda: trained(WAYS[way], train, 2, seed, net=start)
    return kept(run, f"{activation}-{way}-{seed}", make)


def _draw(path: Path, found: dict[str, dict[str, np.ndarray]]) -> None:
    """Predicted over drawn mean against the level, seed 0, with two standard errors;
    grey: off by at most a tenth."""
    join = lambda key: np.concatenate([found["tanh-near"][key], found["tanh-far"][key]])
    tanh = {key: join(key) for key in found["tanh-near"]}
    with figure(path, 1, 3.4) as (ax,):
        ax.axhspan(0.9, 1.1, color="#000000", alpha=0.08, linewidth=0)
        for colour, words, one in (
            (COLOURS[0], "tanh, Hessian", tanh),
            (COLOURS[1], "ReLU, Hessian", found["relu_hessian"]),
            (COLOURS[2], "ReLU, differences", found["relu_difference"]),
            (COLOURS[3], "ReLU trained by HA-SGD, Hessian", found["relu_ha"]),
        ):
            ratio = one["gap_theory"] / one["gap_mc"]
            error = ratio * np.hypot(
                one["gap_theory_error"] / one["gap_theory"],
                one["gap_mc_error"] / one["gap_mc"],
            )
            ax.errorbar(
                one["levels"],
                ratio,
                np.abs(2.0 * error),
                fmt="o-",
                color=colour,
                markersize=4,
                linewidth=0.9,
                label=words,
            )
        levels = (*_NEAR, *_FAR)
        ax.set_xscale("log")
        ax.set_xticks(levels, [f"{level:g}" for level in levels])
        ax.minorticks_off()
        ax.set_xlabel("level of the noise (share of the span)")
        ax.set_ylabel("loss added: predicted over drawn")
        ax.legend(frameon=False, fontsize=8)
