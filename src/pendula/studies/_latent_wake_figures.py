"""Figures of part `autoencoder`: errors over the horizon, eigenvalues, fields, the
prior, and a film of the wake with its forecast."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..latent import ExactDMD, FittedLatent, eigenvalues, lyapunov_prior
from ._field_figures import field_film, field_sheet
from ._figures import COLOURS, sheet
from ._study import Run


_SHOWN = ("rotation", "free", "two_step", "one_step", "agnostic", "dmd15")


def draw_wake(
    run: Run,
    wake: Any,
    best: FittedLatent,
    prior: FittedLatent,
    curves: dict[str, np.ndarray],
) -> None:
    """All of them, from the seed 0 of rotations (`best`) and of one step with the prior
    (`prior`)."""
    _errors(run, curves)
    _spectra(run, best, prior)
    _fields(run, wake, best)
    _film(run, wake, best)


def _errors(run: Run, curves: dict[str, np.ndarray]) -> None:
    path = run.figures / "autoencoder.svg"
    with sheet(path, (6.0, 3.5), (1, 1), 8.0) as (_, (ax,)):
        for colour, name in zip(COLOURS, _SHOWN, strict=True):
            lines = curves[name]
            k = np.arange(1, lines.shape[1] + 1)
            low, high = np.percentile(lines, [5, 95], axis=0)
            ax.fill_between(k, low, high, color=colour, alpha=0.2, lw=0)
            words = name.replace("_", " ")
            ax.semilogy(k, lines.mean(axis=0), color=colour, lw=1.0, label=words)
        ax.set_xlabel("snapshots ahead, 30 a period")
        ax.set_ylabel("relative error")
        ax.legend(frameon=False, ncols=3, loc="center", bbox_to_anchor=(0.6, 0.7))


def _spectra(run: Run, best: FittedLatent, prior: FittedLatent) -> None:
    """Eigenvalues with the unit circle, and rho of one eigenvalue's modulus."""
    path = run.figures / "spectra.svg"
    with sheet(path, (7.0, 3.2), (1, 2), 8.0) as (_, (left, right)):
        turn = np.linspace(0, 2 * np.pi, 200)
        left.plot(np.cos(turn), np.sin(turn), color="0.6", lw=0.8)
        for colour, name, one in (
            (COLOURS[0], "rotations", best),
            (COLOURS[1], "one step with the prior", prior),
        ):
            values = eigenvalues(one.model.dynamics)  # type: ignore[attr-defined]  # both are linear
            left.plot(np.real(values), np.imag(values), ".", color=colour, label=name)
        left.set_aspect("equal")
        left.set_xlabel("real part")
        left.set_ylabel("imaginary part")
        left.legend(frameon=False, loc="center")
        moduli = np.linspace(0.9, 1.4, 101)
        moduli = moduli[np.abs(moduli - 1.0) > 1e-9]
        rho = [float(lyapunov_prior(jnp.full((1, 1), w))) for w in moduli]
        right.plot(moduli, rho, color=COLOURS[0])
        right.set_xlabel("modulus of an eigenvalue")
        right.set_ylabel("prior, gamma = 4")


def _fields(run: Run, wake: Any, best: FittedLatent) -> None:
    """Truth, rotations and DMD after 1, 30 and 90 steps."""
    b = int(wake.begin[0])
    last = min(90, len(wake.rows) - 1 - b)
    ks = sorted({1, min(30, last), last})
    told = best.predict(wake.rows[b], ks[-1])
    rank = min(15, wake.train - 1)
    dmd = ExactDMD(rank).fit(wake.rows[: wake.train]).predict(wake.rows[b], ks[-1])
    every = {"truth": wake.rows[b + 1 :], "rotations": told, "DMD, rank 15": dmd}
    fields = [
        wake.data.unflat(rows[k - 1])[..., 0] for rows in every.values() for k in ks
    ]
    axes = tuple(wake.data.axes.values())
    size, grid = (9.0, 4.5), (3, len(ks))
    with field_sheet(run.figures / "fields.png", size, grid, fields, axes) as (
        _,
        found,
    ):
        for ax, k in zip(found, ks, strict=False):
            ax.set_title(f"{k} snapshot{'s' * (k > 1)} ahead", fontsize=8)
        for ax, name in zip(found[:: len(ks)], every, strict=True):
            ax.set_ylabel(f"{name}\ny [D]")


def _film(run: Run, wake: Any, best: FittedLatent) -> None:
    """One period: the truth above, the forecast below."""
    b = int(wake.begin[0])
    steps = min(30, len(wake.rows) - 1 - b)
    true = wake.data[b + 1 : b + 1 + steps]
    values = true.unflat(best.predict(wake.rows[b], steps), 0.0)
    told = dataclasses.replace(true, values=values)
    field_film(run.figures / "forecast.webp", true, told)
