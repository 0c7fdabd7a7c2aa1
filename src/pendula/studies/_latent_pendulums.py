"""Part `pendulums` of study `latent`: Koopman autoencoders of measured pendulums."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..latent import FieldCodec, HankelDMD, delay_windows, persistence
from ._claim import Claim
from ._figures import COLOURS, sheet
from ._latent import KAE, latent, trained_latents
from ._latent_koopman import WORDS, koopman_config, koopman_model
from ._real_data import measured
from ._row import Row
from ._study import Run


_EVERY = 10  # samples of 4 ms
_DT = 0.04
_DELAYS = 20
_HORIZONS = {"half": 12, "two": 50}  # steps: 0.48 s and 2 s


class Arms(NamedTuple):
    """A record: its name, the angles that are seen, and samples to learn from."""

    file: str
    angles: tuple[str, ...]
    train: int
    words: str


SETS = {
    "single": Arms("multiarm_pendulum/single", ("theta1",), 900, "one arm, 36 s"),
    "double": Arms(
        "multiarm_pendulum/double", ("theta1", "theta2"), 1300, "two arms, 52 s"
    ),
}


def _rows() -> Iterator[Row]:
    for key, arms in SETS.items():
        for horizon, steps in _HORIZONS.items():
            for name, words in WORDS.items():
                yield Row(
                    f"latent.pendulums.{key}_{horizon}_{name}",
                    f"Mean error of the angles over {steps * _DT:g} s, over their root "
                    f"mean square while learning: {words}; measured pendulum, "
                    f"{arms.words} to learn from, snapshots of {_DELAYS} samples of "
                    f"{_DT} s, angles alone.",
                    source=KAE if name in ("plain", "consistent") else "ours",
                )


def _opened(key: str) -> np.ndarray:
    """Angles from the hanging position, `"time angle"` [rad]."""
    arms = SETS[key]
    data = measured(arms.file)
    at = [data.names.index(name) for name in arms.angles]
    return np.asarray(data.ys[0], np.float64)[::_EVERY, at] - np.pi


def _curves(run: Run, key: str, name: str, angles: np.ndarray) -> dict[str, np.ndarray]:
    """Errors `"run step"` of the newest angles, all seeds and starts."""
    s = run.settings
    rows = delay_windows(angles, _DELAYS).astype(np.float32)
    train = min(SETS[key].train, s["train"])
    last, horizon = angles.shape[1], max(_HORIZONS.values())
    begin = np.linspace(train, len(rows) - horizon - 1, s["starts"]).astype(int)
    if name == "persistence":
        found = [persistence(rows[begin], horizon)]
    elif name == "dmd":
        past = begin[:, None] + np.arange(_DELAYS)
        fitted = HankelDMD(_DELAYS, 6).fit(angles[: train + _DELAYS - 1], dt=_DT)
        found = [fitted.predict(angles[past], horizon)]
    else:
        known = rows[:train]
        count = s["seeds"]
        many = trained_latents(
            run,
            f"{key}_{name}",
            [koopman_model(name, rows.shape[1], k) for k in range(count)],
            [known] * count,
            [FieldCodec.fit(known, scaling="range")] * count,
            koopman_config(name, s["updates"]),
        )
        found = [one.predict(rows[begin], horizon) for one in many]
    true = rows[begin[:, None] + 1 + np.arange(horizon)][..., -last:]
    size = np.sqrt(np.mean(np.sum(angles[:train] ** 2, axis=1)))
    curves = [np.linalg.norm(one[..., -last:] - true, axis=-1) / size for one in found]
    return {"errors": np.concatenate(curves)}


@latent.part(
    "pendulums",
    tuple(_rows()),
    full={"seeds": 3, "train": 2000, "starts": 30, "updates": 6000},
    quick={"seeds": 1, "train": 300, "starts": 3, "updates": 10},
)
def pendulums(run: Run) -> Iterator[Claim]:
    """One arm, which loses its energy, and two, whose motion is chaotic."""
    bands: dict[str, dict[str, Any]] = {}
    for key in SETS:
        angles = _opened(key)
        found = {}
        for name in WORDS:
            curves = functools.partial(_curves, run, key, name, angles)
            found[name] = run.keep(f"{key}_{name}", curves)["errors"]
            seeds = 1 if name in ("dmd", "persistence") else run.settings["seeds"]
            for horizon, steps in _HORIZONS.items():
                row = run.row(f"latent.pendulums.{key}_{horizon}_{name}")
                means = found[name][:, :steps].reshape(seeds, -1).mean(axis=1)
                yield row.measured(means)
        bands[key] = found
    _draw(run, bands)


def _draw(run: Run, bands: dict[str, dict[str, np.ndarray]]) -> None:
    """Mean error over the time ahead, a panel a pendulum."""
    path = run.figures / "pendulums.svg"
    with sheet(path, (7.0, 3.2), (1, len(SETS)), 8.0) as (_, axes):
        for ax, (key, found) in zip(axes, bands.items(), strict=True):
            for colour, (name, errors) in zip(COLOURS, found.items(), strict=True):
                t = _DT * np.arange(1, errors.shape[1] + 1)
                ax.plot(t, errors.mean(axis=0), color=colour, lw=1.0, label=name)
            ax.set_title(SETS[key].words, fontsize=8)
            ax.set_ylim(0, 1.0)
            ax.margins(x=0)
            ax.set_xlabel("time ahead [s]")
        axes[0].set_ylabel("error of the angles / their rms")
        axes[0].legend(frameon=False, ncols=3, loc="upper center")
