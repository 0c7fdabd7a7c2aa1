"""Part `koopman` of study `latent`: the pendulum of consistent Koopman autoencoders."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from scipy.special import ellipj, ellipk

from ..latent import (
    FieldCodec,
    HankelDMD,
    LatentFitConfig,
    latent_linear,
    latent_ode,
    persistence,
    relative_errors,
)
from ._claim import Claim
from ._figures import COLOURS, sheet
from ._latent import KAE, latent, trained_latents
from ._row import Row
from ._study import Run


_GRAVITY = 9.81  # over the length [1/s^2]
_DT = 0.1
_TRAIN = 600
_NOISES = (0.0, 0.03, 0.08)
_STARTS = {"nonlinear": 2.4, "near_linear": 0.8}
WORDS = {
    "plain": "Koopman autoencoder without a map back",
    "consistent": "consistent Koopman autoencoder",
    "rotation": "rotations, K = 8 and the latent term, otherwise the same",
    "ode": "latent neural ODE, K = 8 and the latent term",
    "dmd": "DMD on 20 delays, rank 6",
    "persistence": "the last snapshot",
}
_DELAYS = 20
_SETTING = "pendulum lifted to 64 numbers, 600 samples of 0.1 s, 30 test starts"


def _key(start: str, noise: float) -> str:
    return f"{start}_{round(100 * noise):02d}"


def _rows() -> Iterator[Row]:
    for start, theta in _STARTS.items():
        for noise in _NOISES:
            key = _key(start, noise)
            where = f"{_SETTING}, theta_0 = {theta}, noise {noise}"
            for name, words in WORDS.items():
                yield Row(
                    f"latent.koopman.{key}_{name}",
                    f"Mean relative error over 1000 steps: {words}; {where}.",
                    source=KAE if name in ("plain", "consistent") else "ours",
                )
            must = 1.0 if key == "nonlinear_08" else None
            tried = "The published settings." if must else None
            yield Row(
                f"latent.koopman.{key}_mean_ratio",
                f"Mean error, consistent over plain; {where}.",
                target=must,
                source=KAE,
                tried=tried,
            )
            yield Row(
                f"latent.koopman.{key}_band_ratio",
                "Width of the 5-95 % band of the error over seeds and starts, mean "
                f"over the steps, consistent over plain; {where}.",
                target=must,
                source=KAE,
                tried=tried,
            )


def swing(theta: float, count: int) -> np.ndarray:
    """Angle and velocity `"time 2"` of theta'' = -9.81 sin theta from rest, exact."""
    k = np.sin(theta / 2)
    omega = np.sqrt(_GRAVITY)
    sn, cn, dn, _ = ellipj(ellipk(k**2) - omega * _DT * np.arange(count), k**2)
    # sin(theta / 2) = k sn; its derivative is -omega k cn dn
    angle = 2 * np.arcsin(k * sn)
    velocity = -2 * omega * k * cn * dn / np.sqrt(1 - (k * sn) ** 2)
    return np.stack([angle, velocity], axis=1)


def lifted(theta: float, noise: float, count: int, seed: int) -> Any:
    """(seen, clean) `"time 64"`: noise on both numbers, then an orthonormal lift."""
    rng = np.random.default_rng(seed)
    lift = np.linalg.qr(rng.normal(size=(64, 2)))[0]
    clean = swing(theta, count)
    seen = clean + noise * rng.normal(size=clean.shape)
    return (seen @ lift.T).astype(np.float32), (clean @ lift.T).astype(np.float32)


def koopman_config(name: str, updates: int) -> LatentFitConfig:
    """The published training: 600 epochs of ten batches, falls at epochs 30, 200, 400
    and 500, gradients of at most 0.05, the identity times the steps."""
    at = tuple(sorted({max(1, updates * k // 600) for k in (30, 200, 400, 500)}))
    how: dict[str, Any] = {
        "updates": updates,
        "batch": 64,
        "identity": 8.0,
        "clip": 0.05,
        "drops": at if updates > 10 else (),
    }
    if name in ("rotation", "ode"):
        how |= {"latent": 0.1, "total": False, "identity": 1.0, "clip": 1.0}
        how |= {"drops": None}
    return LatentFitConfig.published("koopman", **how)


def koopman_model(name: str, size: int, seed: int) -> Any:
    """Of the published sizes, for snapshots of `size` numbers."""
    key = jax.random.key(seed)
    if name == "ode":
        return latent_ode(size, (16, 16), 6, width=32, key=key)
    kind = "rotation" if name == "rotation" else "dense"
    back = "inverse" if name == "consistent" else None
    return latent_linear(size, (16, 16), 6, kind, consistent=back, last="tanh", key=key)


def _seeds(run: Run, name: str, start: str) -> int:
    """All for the published claim, fewer for what stands beside it."""
    is_claim = start == "nonlinear" and name in ("plain", "consistent")
    return run.settings["seeds" if is_claim else "few"]


def _curves(run: Run, name: str, start: str, noise: float) -> dict[str, np.ndarray]:
    """Errors `"run step"` of one method, all seeds and starts."""
    s = run.settings
    count, horizon = _seeds(run, name, start), s["steps"]
    sets = [lifted(_STARTS[start], noise, s["count"], k) for k in range(count)]
    known = [seen[:_TRAIN] for seen, _ in sets]
    begin = _TRAIN + np.arange(s["starts"])
    if name == "persistence":
        found = [persistence(seen[begin], horizon) for seen, _ in sets]
    elif name == "dmd":
        past = begin[:, None] + np.arange(1 - _DELAYS, 1)
        found = [
            HankelDMD(_DELAYS, 6).fit(one, dt=_DT).predict(seen[past], horizon)
            for one, (seen, _) in zip(known, sets, strict=True)
        ]
    else:
        fitted = trained_latents(
            run,
            f"{_key(start, noise)}_{name}",
            [koopman_model(name, 64, k) for k in range(count)],
            known,
            [FieldCodec.fit(one, scaling="range") for one in known],
            koopman_config(name, s["updates"]),
        )
        found = [
            one.predict(seen[begin], horizon)
            for one, (seen, _) in zip(fitted, sets, strict=True)
        ]
    at = begin[:, None] + 1 + np.arange(horizon)
    curves = [relative_errors(f, y[at]) for f, (_, y) in zip(found, sets, strict=True)]
    return {"errors": np.concatenate(curves)}


@latent.part(
    "koopman",
    tuple(_rows()),
    full={
        "seeds": 10,
        "few": 3,
        "count": 2200,
        "starts": 30,
        "steps": 1000,
        "updates": 6000,
    },
    quick={"seeds": 1, "few": 1, "count": 660, "starts": 3, "steps": 20, "updates": 10},
)
def koopman(run: Run) -> Iterator[Claim]:
    """A pendulum and a level of noise after the other; trainings outlive a kill."""
    bands = {}
    for start in _STARTS:
        for noise in _NOISES:
            key = _key(start, noise)
            ids = [f"latent.koopman.{key}_{name}" for name in WORDS]
            found = {}
            for name in WORDS:
                curves = functools.partial(_curves, run, name, start, noise)
                found[name] = run.keep(f"{key}_{name}", curves)["errors"]
            for name, row in zip(WORDS, ids, strict=True):
                means = found[name].reshape(_seeds(run, name, start), -1).mean(axis=1)
                yield run.row(row).measured(means)
            plain, consistent = found["plain"], found["consistent"]
            ratio = _mean(consistent) / _mean(plain)
            yield run.row(f"latent.koopman.{key}_mean_ratio").measured(ratio)
            ratio = _width(consistent) / _width(plain)
            yield run.row(f"latent.koopman.{key}_band_ratio").measured(ratio)
            bands[key] = found
    _draw(run, bands)


def _mean(errors: np.ndarray) -> float:
    return float(np.mean(errors))


def _width(errors: np.ndarray) -> float:
    low, high = np.percentile(errors, [5, 95], axis=0)
    return float(np.mean(high - low))


def _draw(run: Run, bands: dict[str, dict[str, np.ndarray]]) -> None:
    """Mean and 5-95 % band over the steps, a panel for each pendulum and noise."""
    names = ("plain", "consistent", "rotation", "dmd")
    path = run.figures / "koopman.png"
    with sheet(path, (9.0, 5.0), (len(_STARTS), len(_NOISES)), 8.0) as (_, axes):
        for ax, (key, found) in zip(axes, bands.items(), strict=True):
            for colour, name in zip(COLOURS, names, strict=False):
                errors = found[name]
                t = _DT * np.arange(1, errors.shape[1] + 1)
                every = slice(None, None, max(1, len(t) // 200))
                low, high = np.percentile(errors, [5, 95], axis=0)
                ax.fill_between(
                    t[every], low[every], high[every], color=colour, alpha=0.15, lw=0
                )
                mean = errors.mean(axis=0)
                ax.plot(t[every], mean[every], color=colour, lw=1.0, label=name)
            start, noise = key.rsplit("_", 1)
            ax.set_title(f"{start.replace('_', ' ')}, noise {int(noise) / 100}", size=8)
            ax.set_ylim(0, 1.0)
            ax.margins(x=0)
        for ax in axes[-len(_NOISES) :]:
            ax.set_xlabel("time [s]")
        for ax in axes[:: len(_NOISES)]:
            ax.set_ylabel("relative error")
        axes[0].legend(frameon=False)
