"""Part `formats` of study `spine`: one data set through every format of files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .._errors import MissingExtra
from ._claim import Claim
from ._row import Row
from ._spine import spine
from ._study import NotHere, Run


if TYPE_CHECKING:
    from ..data import Trajectories

ENDINGS = (".csv", ".npz", ".mat", ".h5", ".nc", ".parquet", ".zarr")
MEASURED = ("ts", "ys", "mask", "us")
CALLED = ("names", "units", "input_names", "input_units", "time_unit", "labels")
_ROWS = (
    Row(
        "spine.formats",
        "Formats (CSV, NPZ, MATLAB, HDF5, NetCDF, Parquet, Zarr) through which one "
        "data set (records of different lengths, irregular times, lost samples, an "
        "input) comes back with the same bits: times, samples, mask, inputs, names, "
        "units, labels.",
        better="equal",
        target=len(ENDINGS),
        tried="Numbers are stored as they are, in CSV as the shortest text that reads "
        "back to the same bits.",
    ),
    Row(
        "spine.formats_whole",
        "Of these, formats that bring back every field, with licence, angles, "
        "parameters and history.",
        better="higher",
    ),
)


@spine.part(
    "formats",
    _ROWS,
    full={"num": 6, "duration": 100.0},
    quick={"num": 3, "duration": 2.0},
)
def formats(run: Run) -> Iterator[Claim]:
    """Write and read back, format by format."""
    from ..data import read, write

    shutil.rmtree(run.scratch, ignore_errors=True)
    data = _records(run.settings)
    same = whole = 0
    for ending in ENDINGS:
        run.progress(f"writing and reading {ending}")
        # of CSV the roles of the columns would have to be guessed
        roles: dict[str, Any] = {"channels": data.names} if ending == ".csv" else {}
        try:
            back = read(write(data, run.scratch / f"records{ending}"), **roles)
        except MissingExtra as error:
            raise NotHere(str(error)) from None
        same += all(_equal(data, back, name) for name in (*MEASURED, *CALLED))
        whole += all(_equal(data, back, name) for name in vars(data))
    count = len(ENDINGS)
    yield run.row("spine.formats").measured(same, n=count)
    yield run.row("spine.formats_whole").measured(whole, n=count)


def _records(settings: dict[str, Any]) -> Trajectories:
    """Records of several pendulums with an input, each shorter than the one before."""
    from ..systems import simulate

    made = simulate(
        "pendulum",
        num=settings["num"],
        duration=settings["duration"],
        dt=0.02,
        noise=0.01,
        missing=0.1,
        irregular=0.3,
        params={"length": np.linspace(0.5, 1.5, settings["num"])},
        seed=5,
    )
    keep = [np.arange(n - 5 * i) for i, n in enumerate(made.lengths)]
    cut = made.gather(keep, "records of different lengths")
    force = np.sin(3.0 * cut.ts)[..., None]
    return cut.replace(us=force, input_names=("u_motor",), input_units=("N m",))


def _equal(one: Trajectories, other: Trajectories, name: str) -> bool:
    """Whether a field has the same bits in both."""
    a, b = getattr(one, name), getattr(other, name)
    if not isinstance(a, np.ndarray):
        return a == b
    same = isinstance(b, np.ndarray) and (a.dtype, a.shape) == (b.dtype, b.shape)
    return same and a.tobytes() == b.tobytes()
