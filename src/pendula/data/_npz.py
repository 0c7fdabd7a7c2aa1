"""NPZ files in and out: NumPy's own."""

from __future__ import annotations

import contextlib
import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import DataError
from .._files import replacing
from ._arrays import read_arrays
from ._bytes import read_bytes, unwritable
from ._fields import to_arrays
from ._stored import Stored, here
from ._trajectories import Trajectories


# what a damaged archive or header makes NumPy and zipfile raise, ValueError aside: the
# last three come of a wrong method or flag, and of a size that no array can have
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError),
    *(RuntimeError, OverflowError, MemoryError),
)


def read_npz(path: str | Path, **options: Any) -> Trajectories:
    """Read an NPZ file.

    Our own files (written by `write_npz`) need nothing. Of a foreign file say what
    its arrays are:

    **Arguments:**
    - `time`: the array of times, of shape `"time"` or `"traj time"`; or `dt`, the
      sampling step.
    - `channels`: the arrays to observe, of the shape of the times or with one axis
      more. Of our own files: the channels to keep.
    - `inputs`: the arrays of the inputs, shaped alike.
    - `angles`: channels that are angles; `input_kind`: how inputs run between
      samples (held, linear, spline); `licence`.

    **Raises:** `DataError` for a file that is no NPZ, is cut short, holds pickled
    objects, or arrays that do not fit; `ConfigError` for unknown names.

    ```python
    >>> import numpy as np
    >>> from pendula.data import read_npz
    >>> np.savez("rig.npz", clock=[0.0, 1.0, 2.0], q=[1.0, np.nan, 3.0])
    >>> data = read_npz("rig.npz", time="clock", channels="q")
    >>> data.names, data.mask[0, :, 0].tolist()
    (('q',), [True, False, True])

    ```
    """
    return read_arrays(path, open_npz, **options)


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[Mapping[str, Stored]]:
    """The arrays of an NPZ file; nothing is unpickled."""
    raw = read_bytes(path)
    broken = DataError(
        f"{path.name}: the file is not a whole NPZ file (cut short or another "
        "format). Expected what numpy.savez writes. Write or copy it again."
    )
    if not zipfile.is_zipfile(io.BytesIO(raw)):
        raise broken
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            arrays = {name: here(file[name]) for name in file.files}
    except _DAMAGED:
        raise broken from None
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path.name}: the file holds pickled Python objects. They can run "
                "code when read, so they are refused. Save plain number arrays."
            ) from None
        raise broken from None
    yield arrays


def write_npz(data: Trajectories, path: str | Path) -> Path:
    """Write all fields of a container; reading gives the same bits back.

    Arrays stand under their field names, texts as arrays of text, `origin` as
    JSON; nothing is pickled. **Raises:** `DataError` when the file cannot be
    written.
    """
    path = Path(path)
    arrays: dict[str, Any] = to_arrays(data)
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
    except OSError as error:
        raise unwritable(path, error) from None
    return path
