"""Study `slinky`: the elastic rod that makes the truth, and what learns from it."""

from __future__ import annotations

import numpy as np

from ._study import stored_file, study


slinky = study(
    "slinky",
    "A discrete elastic rod simulates the Slinky; it is held to reference results of "
    "other codes, to closed forms and to its own invariances. Everything in float64.",
)


def reference(name: str) -> dict[str, np.ndarray]:
    """Arrays of one file of the set der-reference. **Raises:** `NotHere`."""
    path = stored_file("der-reference", f"{name}.npz")
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}
