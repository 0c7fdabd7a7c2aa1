"""Study `real_data`: measured systems, trained on their beginnings."""

from __future__ import annotations

from typing import Any

from ..data import Trajectories, load, named
from ._study import NotHere, study


real_data = study(
    "real_data",
    "Fits to measured systems; every choice is made on the training part, the scores "
    "are free runs over what the model has never seen.",
)


def measured(name: str, **options: Any) -> Trajectories:
    """A named data set. **Raises:** `NotHere` when its files are not here."""
    present = {entry["name"]: entry["present"] for entry in named()}
    if not present[name]:
        raise NotHere(
            f"the data set {name} is not on this machine: set PENDULA_DATA to the "
            "folder that holds it"
        )
    return load(name, **options)
