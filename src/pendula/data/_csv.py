"""CSV and TSV files in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .._errors import DataError
from ._columns import from_tables
from ._table import read_table
from ._trajectories import Trajectories


def read_csv(
    path: str | Path | Iterable[str | Path],
    *,
    time: str | None = None,
    dt: float | None = None,
    channels: str | Sequence[str] | None = None,
    inputs: str | Sequence[str] | None = None,
    traj: str | Sequence[str] | None = None,
    ignore: str | Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    angles: str | Sequence[str] | None = None,
    input_kind: str | None = None,
    licence: str | None = None,
) -> Trajectories:
    """Read trajectories from CSV or TSV files with a header line.

    **Arguments:**
    - `path`: a file, or several: each is one trajectory.
    - `time`: the time column (default: the one named t, time, day, year or date);
      numbers or ISO 8601 stamps (then seconds since the first). Without one, `dt`
      is the sampling step.
    - `channels`, `inputs`, `ignore`: column names. Without them, names starting
      with u_, tau, torque or input are inputs; columns with two values or named
      validation, split, flag or label are ignored; all others are channels.
    - `traj`: the columns of a long file whose values tell the trajectories apart.
    - `units`: column -> unit, over that in the header's brackets (`q [m]`).
      Channels in degrees are turned into radians.
    - `angles`: channels that are angles (default: unit rad, or no unit and a name
      such as theta1).
    - `input_kind`: how inputs run between samples (default: held when they move
      in steps, else a spline).

    **Returns:** `Trajectories`; what was decided stands in `origin["decisions"]`.
    Empty cells and NaN are missing samples (mask False).
    **Raises:** `DataError` naming file, row and column; `ConfigError` for options
    that do not fit the file. **Warns:** `DataWarning` for a channel with more than
    half its samples missing and for angles that look like degrees.

    ```python
    >>> import pathlib, tempfile
    >>> from pendula.data import read_csv
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "swing.csv"
    >>> text = "t,theta1 [rad],u_motor [N m]\\n0,0.1,0\\n1,,2\\n2,0.3,1\\n"
    >>> _ = file.write_text(text)
    >>> data = read_csv(file)
    >>> data.names, data.input_names, int(data.mask.sum())
    (('theta1',), ('u_motor',), 2)

    ```
    """
    paths = [path] if isinstance(path, str | Path) else list(path)
    if not paths:
        raise DataError("no file given. At least one is needed.")
    return from_tables(
        [read_table(p) for p in paths],
        [str(p) for p in paths],
        time=time,
        dt=dt,
        channels=channels,
        inputs=inputs,
        traj=traj,
        ignore=ignore,
        units=units,
        angles=angles,
        input_kind=input_kind,
        licence=licence,
    )
