"""Study `real_data`: measured systems, trained on their beginnings."""

from __future__ import annotations

from typing import Any

from ..data import Trajectories, load, named
from ._study import no_data, study


real_data = study(
    "real_data",
    "Fits to measured systems: nothing is fitted to what lies after the training part, "
    "the scores are free runs over it. The form of the models and their windows are "
    "those that had worked on these records before; what hangs on them is measured in "
    "`multiarm_settings`.",
)


def measured(name: str, **options: Any) -> Trajectories:
    """A named data set. **Raises:** `NotHere` when its files are not here."""
    present = {entry["name"]: entry["present"] for entry in named()}
    if not present[name]:
        raise no_data(name)
    return load(name, **options)
