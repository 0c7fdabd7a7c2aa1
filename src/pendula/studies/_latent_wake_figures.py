"""Figures of part `autoencoder`: errors over the horizon, eigenvalues, fields, the
prior, and a film of the wake with its forecast."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._files import replacing
from ..latent import ExactDMD, FittedLatent, eigenvalues, lyapunov_prior
from ._figures import COLOURS, sheet
from ._study import Run


_SHOWN = ("rotation", "free", "two_step", "one_step", "agnostic", "dmd15")
_LIMIT = 5.0  # vorticity at the ends of the colours [U/D]


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
        ax.legend(frameon=False, ncols=2, loc="center right")


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
    x, y = wake.data.axes["x"], wake.data.axes["y"]
    path = run.figures / "fields.png"
    with sheet(path, (9.0, 4.5), (3, len(ks)), 8.0) as (_, axes):
        for column, k in enumerate(ks):
            for row, (name, rows) in enumerate(
                (
                    ("truth", wake.rows[b + k]),
                    ("rotations", told[k - 1]),
                    ("DMD, rank 15", dmd[k - 1]),
                )
            ):
                ax = axes[row * len(ks) + column]
                field = wake.data.unflat(rows)[..., 0].T
                ax.pcolormesh(
                    x,
                    y,
                    field,
                    cmap="RdBu_r",
                    vmin=-_LIMIT,
                    vmax=_LIMIT,
                    shading="auto",
                )
                ax.set_aspect("equal")
                if row == 0:
                    ax.set_title(f"{k} snapshots ahead", size=8)
                if column == 0:
                    ax.set_ylabel(f"{name}\ny [D]")
                if row == 2:
                    ax.set_xlabel("x [D]")


def _film(run: Run, wake: Any, best: FittedLatent) -> None:
    """One period: the truth above, the forecast below."""
    import matplotlib as mpl
    from PIL import Image, features

    b = int(wake.begin[0])
    steps = min(30, len(wake.rows) - 1 - b)
    told = best.predict(wake.rows[b], steps)
    colours = mpl.colormaps["RdBu_r"].with_extremes(bad="0.7")
    frames = []
    for k in range(steps):
        two = []
        for rows in (wake.rows[b + 1 + k], told[k]):
            field = wake.data.unflat(rows)[..., 0].T[::-1]
            two.append(colours(np.clip(field / (2 * _LIMIT) + 0.5, 0, 1)))
        gap = np.ones((4, two[0].shape[1], 4))
        picture = np.concatenate([two[0], gap, two[1]])
        frames.append(Image.fromarray((255 * picture[..., :3]).astype(np.uint8)))
    kind = "webp" if features.check("webp") else "gif"
    with replacing(run.figures / f"forecast.{kind}") as temporary:
        frames[0].save(
            temporary,
            format=kind.upper(),
            save_all=True,
            append_images=frames[1:],
            duration=80,
            loop=0,
        )
