"""The Slinky's network and the record it learned from, kept with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..data import Trajectories
from ..systems import bar_record, bars_of
from ._fitted import Fitted, load


ASSETS = Path(__file__).parent.parent / "assets"


def slinky_network() -> Fitted:
    """The energy of a Slinky's bars that one record of 0.7 s taught (the median of
    three seeds), a model like any other.

    ```python
    >>> from pendula.dynamics import slinky_network
    >>> chain = slinky_network().model().field.force
    >>> chain.rule, chain.energy.group
    ('conservative', 'helix')

    ```
    """
    return load(ASSETS / "slinky.safetensors")


def slinky_record() -> Trajectories:
    """That record: 76 bars between two clamps, let go, 10 ms apart, simulated by the
    elastic rod at 1 ms.

    ```python
    >>> from pendula.dynamics import slinky_record
    >>> slinky_record().ys.shape
    (1, 77, 456)

    ```
    """
    with np.load(ASSETS / "slinky.npz", allow_pickle=False) as stored:
        ts, u, v = (stored[k].astype(np.float64) for k in ("ts", "u", "v"))
    origin = {"system": "slinky", "cycles": u.shape[1], "integrator": "bdf2"}
    return bar_record(ts, u, v, origin=origin)


def keep_slinky(fitted: Fitted, record: Trajectories, folder: Path = ASSETS) -> None:
    """Write both files again; positions and rates in float32."""
    folder.mkdir(parents=True, exist_ok=True)
    fitted.save(folder / "slinky.safetensors")
    ts, u, v = bars_of(record)
    single = {"u": u.astype(np.float32), "v": v.astype(np.float32)}
    np.savez_compressed(folder / "slinky.npz", allow_pickle=False, ts=ts, **single)
