"""Study `slinky`: the elastic rod that makes the truth, and what learns from it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ._study import NotHere, study


slinky = study(
    "slinky",
    "A discrete elastic rod simulates the Slinky; it is held to reference results of "
    "other codes, to closed forms and to its own invariances. Everything in float64.",
)
SETUP = ("EA", "EI1", "EI2", "GJ")


def reference(name: str) -> dict[str, np.ndarray]:
    """Arrays of one file of the set der-reference. **Raises:** `NotHere`."""
    path = Path(os.environ.get("PENDULA_DATA", "")) / "der-reference" / f"{name}.npz"
    if not path.is_file():
        raise NotHere(
            "the data set der-reference is not on this machine: set PENDULA_DATA to "
            "the folder that holds it"
        )
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}
