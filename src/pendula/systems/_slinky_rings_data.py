"""Records of rings as trajectories."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from .._errors import DataError
from ..data import Trajectories
from ._slinky_data import check_units, length_of
from ._slinky_rings import Rings


POSE, RATE = 12, 6  # numbers of a ring's place and of its velocity
_POSE = ("x", "y", "z", *(f"q{i}{j}_" for i in "123" for j in "123"))
_RATE = ("vx", "vy", "vz", "w1_", "w2_", "w3_")
_UNITS = ("m", "m", "m", *("1",) * 9), ("m/s", "m/s", "m/s", *("rad/s",) * 3)


def flat_rings(rings: Rings) -> Float[np.ndarray, "*lead dim"]:
    """One vector: (x, q row by row) of every ring, then (v, w) of every one."""
    lead = rings.x.shape[:-2]
    q = rings.q.reshape(*rings.x.shape[:-1], 9)
    pose = np.concatenate([rings.x, q], axis=-1).reshape(*lead, -1)
    rate = np.concatenate([rings.v, rings.w], axis=-1).reshape(*lead, -1)
    return np.concatenate([pose, rate], axis=-1)


def unflat_rings(y: Float[np.ndarray, "*lead dim"]) -> Rings:
    """The rings of such vectors."""
    count = y.shape[-1] // (POSE + RATE)
    pose = y[..., : POSE * count].reshape(*y.shape[:-1], count, POSE)
    rate = y[..., POSE * count :].reshape(*y.shape[:-1], count, RATE)
    q = pose[..., 3:].reshape(*pose.shape[:-1], 3, 3)
    return Rings(pose[..., :3], q, rate[..., :3], rate[..., 3:])


def ring_names(rings: int) -> tuple[str, ...]:
    """x0, y0, z0, q11_0, .., q33_0, x1, ..; then vx0, vy0, vz0, w1_0, .."""
    own = lambda names: tuple(f"{c}{i}" for i in range(rings) for c in names)
    return own(_POSE) + own(_RATE)


def _units(rings: int) -> tuple[str, ...]:
    return _UNITS[0] * rings + _UNITS[1] * rings


def ring_record(
    ts: Float[np.ndarray, "time"],
    rings: Rings,
    *,
    origin: dict[str, Any] | None = None,
) -> Trajectories:
    """One record of rings, every number a channel: `ring_names`.

    **Raises:** `DataError` for arrays of other shapes, values that are not finite, or
    orientations that are no rotations.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import Rings, ring_record
    >>> x, q = np.zeros((5, 3, 3)), np.broadcast_to(np.eye(3), (5, 3, 3, 3))
    >>> ring_record(np.arange(5.0), Rings(x, q, x, x)).names[:4]
    ('x0', 'y0', 'z0', 'q11_0')

    ```
    """
    lead = rings.x.shape[:-1]
    shapes = [np.shape(a) for a in (rings.x, rings.q, rings.v, rings.w)]
    if len(lead) != 2 or shapes != [(*lead, 3), (*lead, 3, 3), (*lead, 3), (*lead, 3)]:
        raise DataError(
            f"x, q, v and w of the rings have shapes {', '.join(map(str, shapes))}; "
            "expected (time, ring, 3), for q (time, ring, 3, 3)."
        )
    flat = flat_rings(rings)
    if not np.isfinite(flat).all():
        t = int(np.argwhere(~np.isfinite(flat))[0][0])
        raise DataError(
            f"rings at sample {t} are not finite. Cut the record there, or repair it."
        )
    off = np.abs(np.swapaxes(rings.q, -1, -2) @ rings.q - np.eye(3)).max(axis=(-1, -2))
    if off.max() > 1e-3 or np.linalg.det(rings.q).min() < 0.0:
        t, ring = np.unravel_index(int(np.argmax(off)), off.shape)
        raise DataError(
            f"q of ring {ring} at sample {t} is no rotation: its columns are unit "
            "vectors at right angles, right-handed. Make rings with to_rings."
        )
    count = rings.x.shape[-2]
    return Trajectories.from_arrays(
        np.asarray(ts, np.float64),
        flat,
        names=ring_names(count),
        units=_units(count),
        origin={"system": "slinky"} if origin is None else origin,
    )


def rings_of(
    data: Trajectories, record: int = 0
) -> tuple[Float[np.ndarray, "time"], Rings]:
    """Times and rings of one record.

    **Raises:** `DataError` for channels that are not those of `ring_record`, in other
    units, samples that are missing, or a record that is not there.
    """
    count = data.dim // (POSE + RATE)
    if data.names != ring_names(count):
        raise DataError(
            f"the record has the channels {', '.join(data.names[:4])}, ..: expected "
            "x0, y0, z0, q11_0, .. of every ring, then vx0, .. Make it with "
            "ring_record."
        )
    check_units(data, dict(zip(data.names, _units(count), strict=True)))
    n = length_of(data, record)
    if not data.mask[record, :n].all():
        raise DataError(
            f"record {record} has missing samples; rings need every one. Fill or cut "
            "it."
        )
    return data.ts[record, :n], unflat_rings(data.ys[record, :n])
