"""From snapshots to what a network sees, and back: mean, scale, POD coordinates."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, Real
from numpy.typing import ArrayLike

from .._checks import choice, whole
from .._errors import ConfigError, DataError, ShapeError
from .._types import AnyArray
from ..data import Snapshots
from ._series import Rows, Series, check_finite, joined, rows_of, sets_of


POD_FROM = 2000
"""With more numbers a snapshot than that networks work in POD coordinates."""
_BLOCK = 1 << 22  # numbers of a block of cells: what is held in float64 at once
_SMALLEST = 1e-7  # singular values below that, relative to the first, are rounding


def pod(
    rows: Real[np.ndarray, "time m"],
    rank: int | None = None,
    mean: Float[np.ndarray, " m"] | None = None,
) -> tuple[Float[np.ndarray, "m rank"], Float[np.ndarray, " rank"]]:
    """Modes and singular values of snapshots (less a mean), by their Gram matrix, in
    blocks of cells: no second copy of the snapshots is made.

    **Arguments:** `rank`: modes at the most; default all that are not rounding.
    **Raises:** `DataError` when all snapshots are the mean, there are none, or a value
    is not finite;
    `ConfigError` for a rank below 1.

    ```python
    >>> import numpy as np
    >>> from pendula.latent import pod
    >>> modes, values = pod(np.outer([1.0, 2.0, 2.0], [3.0, 4.0]))
    >>> abs(modes[:, 0]).round(6).tolist(), values.round(6).tolist()
    ([0.6, 0.8], [15.0])

    ```
    """
    if rank is not None:
        whole(1, rank=rank)
    check_finite(rows)
    time, m = rows.shape
    if not rows.size:
        raise DataError(
            f"snapshots of shape {rows.shape} hold none. Give at least one."
        )
    step = max(1, _BLOCK // time)
    gram = np.zeros((time, time))
    for at in range(0, m, step):
        block = _block(rows, mean, at, step)
        gram += block @ block.T
    squares, left = np.linalg.eigh(gram)
    order = np.argsort(-squares)
    values = np.sqrt(np.maximum(squares[order], 0.0))
    if not values[0] > 0:
        raise DataError(
            "all snapshots are the same: there is no motion to learn. Check the file "
            "and the channel."
        )
    keep = int(np.sum(values > _SMALLEST * values[0]))
    keep = keep if rank is None else min(rank, keep)
    left, values = left[:, order[:keep]], values[:keep]
    modes = np.empty((m, keep), np.result_type(rows.dtype, np.float32))
    for at in range(0, m, step):
        modes[at : at + step] = _block(rows, mean, at, step).T @ (left / values)
    return modes, values


def _block(rows: np.ndarray, mean: np.ndarray | None, at: int, step: int) -> np.ndarray:
    block = rows[:, at : at + step].astype(np.float64)
    return block if mean is None else block - mean[at : at + step]


@dataclasses.dataclass(frozen=True)
class FieldCodec:
    r"""Rows of a field to the coordinates of a network, and back.

    $$ c = U^T (y - \bar y) / s, \qquad y = \bar y + s\, U c $$

    **Shapes:** rows `"*batch m"`, coordinates `"*batch r"`; without POD U is the
    identity and r = m.
    **Fields:** `mean` `"m"`, `scale` s, `basis` U `"m r"` or None, `like`: a snapshot
    of the training set whose grid and mask `field` uses, or None.

    It is made by `FieldCodec.fit` of **training snapshots alone**; nothing of a test
    set can enter. The first layer of an encoder and the last of a decoder are affine,
    so that nothing is lost of the training snapshots by working in POD coordinates;
    under Adam it is not the same training as on pixels.
    **Source:** Sirovich 1987, Quarterly of Applied Mathematics 45 (snapshots).
    """

    mean: np.ndarray
    scale: float
    basis: np.ndarray | None = None
    like: Snapshots | None = None

    @classmethod
    def fit(
        cls,
        data: Series,
        *,
        reduced: bool | None = None,
        rank: int | None = None,
        centred: bool = True,
        scaling: str = "spread",
    ) -> FieldCodec:
        """From the training snapshots.

        **Arguments:**
        - `data`: `Snapshots`, rows `"time m"`, or a list of such series; the grid is
          that of the first.
        - `reduced`: whether to work in POD coordinates; default from 2000 numbers on.
        - `rank`: POD coordinates at the most; default all that are not rounding.
        - `centred`: whether the mean is taken off.
        - `scaling`: s: `"spread"`, the standard deviation (of POD coordinates that of
          the first one); `"range"`, half of the largest minus the smallest number,
          with the middle taken off instead of the mean (all in [-1, 1]); `"none"`.

        **Raises:** `DataError` for fewer than two snapshots, values that are not
        finite, or a constant field; `ConfigError` for settings that cannot be.

        ```python
        >>> import numpy as np
        >>> from pendula.latent import FieldCodec
        >>> t, x = np.arange(20.0)[:, None], np.linspace(0, 6, 50)
        >>> wave = 3.0 + np.sin(x - 0.3 * t)
        >>> codec = FieldCodec.fit(wave, reduced=True)
        >>> codec.encode(wave).shape[1], bool(np.allclose(
        ...     codec.decode(codec.encode(wave)), wave, atol=1e-5))
        (2, True)

        ```
        """
        sets = sets_of(data)
        like = sets[0][:1] if isinstance(sets[0], Snapshots) else None
        rows = joined([rows_of(one) for one in sets])
        is_wide = rows.dtype.kind == "f" and rows.dtype.itemsize >= 8  # of any order
        rows = rows.astype(np.float64 if is_wide else np.float32, copy=False)
        if rows.ndim != 2 or len(rows) < 2:
            raise DataError(
                f"snapshots of shape {rows.shape}; expected (time, m) with at least 2 "
                "of them."
            )
        check_finite(rows)
        choice("scaling", scaling, ("spread", "range", "none"))
        if reduced is None:
            reduced = rows.shape[1] > POD_FROM or rank is not None
        if rank is not None and not (reduced and 1 <= whole(0, rank=rank) < len(rows)):
            raise ConfigError(
                f"rank is {rank}; with POD coordinates of {len(rows)} snapshots it "
                f"must be 1 to {len(rows) - 1}."
            )
        low, high = float(rows.min()), float(rows.max())
        if not high > low:
            raise DataError(
                f"the field is {low:g} everywhere and at all times: its scale is 0. "
                "Check the file and the channel."
            )
        mean = np.zeros(rows.shape[1], rows.dtype)
        if scaling == "range":
            mean = np.full_like(mean, (low + high) / 2)
        elif centred:
            mean = rows.mean(axis=0, dtype=np.float64).astype(rows.dtype)
        basis, scale = None, 1.0
        if reduced:
            basis, values = pod(rows, rank, mean)
            scale = float(values[0] / np.sqrt(len(rows)))
        elif scaling == "spread":
            scale = float(np.sqrt(np.mean((rows - mean).astype(np.float64) ** 2)))
        if scaling == "range":
            scale = (high - low) / 2
        return cls(mean, 1.0 if scaling == "none" else scale, basis, like)

    @property
    def size(self) -> int:
        """Coordinates r that a network sees."""
        return len(self.mean) if self.basis is None else self.basis.shape[1]

    def encode(self, data: Rows) -> np.ndarray:
        """Rows `"*batch m"` (or snapshots) -> coordinates `"*batch r"`.

        **Raises:** `ShapeError` for rows of another field; `DataError` for values that
        are not finite.
        """
        rows = rows_of(data)
        if rows.shape[-1:] != self.mean.shape:
            raise ShapeError(
                f"rows of shape {rows.shape} for a codec of {len(self.mean)} numbers."
            )
        check_finite(rows)
        out = rows.astype(self.mean.dtype) - self.mean
        if self.basis is not None:
            out = out @ self.basis
        return (out / self.scale).astype(self.mean.dtype)

    def decode(self, coordinates: ArrayLike) -> np.ndarray:
        """Coordinates `"*batch r"` -> rows `"*batch m"`. **Raises:** `ShapeError`."""
        given = rows_of(coordinates)
        if given.shape[-1:] != (self.size,):
            raise ShapeError(
                f"coordinates of shape {given.shape} for a codec that gives "
                f"{self.size}."
            )
        out = given.astype(self.mean.dtype) * self.scale
        if self.basis is not None:
            out = out @ self.basis.T
        return (out + self.mean).astype(self.mean.dtype)

    def field(self, coordinates: ArrayLike) -> np.ndarray:
        """Coordinates -> the field on its grid, `"*batch *grid chan"`, NaN outside.

        **Raises:** `ConfigError` for a codec of bare rows.
        """
        if self.like is None:
            raise ConfigError(
                "this codec was fitted to rows, and knows no grid. Fit it to Snapshots."
            )
        return self.like.unflat(self.decode(coordinates))

    def to_tree(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """(arrays, numbers and texts) for a file."""
        arrays: dict[str, Any] = {"mean": self.mean}
        about: dict[str, Any] = {"scale": self.scale}
        if self.basis is not None:
            arrays["basis"] = self.basis
        if self.like is not None:
            arrays["mask"] = self.like.mask
            arrays["axes"] = [np.asarray(x) for x in self.like.axes.values()]
            about["like"] = {
                "axes": list(self.like.axes),
                "names": list(self.like.names),
                "units": list(self.like.units),
                "axis_units": list(self.like.axis_units),
                "time_unit": self.like.time_unit,
            }
        return arrays, about

    @classmethod
    def from_tree(cls, arrays: dict[str, Any], about: dict[str, Any]) -> FieldCodec:
        """The inverse of `to_tree`; the snapshot that it keeps is 0."""
        like = None
        mean = np.asarray(arrays["mean"])
        if "like" in about:
            told, mask = about["like"], np.asarray(arrays["mask"])
            shape = (1, *mask.shape, len(told["names"]))
            like = Snapshots(
                np.zeros(1),
                np.zeros(shape, mean.dtype),
                mask,
                {
                    n: np.asarray(x)
                    for n, x in zip(told["axes"], arrays["axes"], strict=True)
                },
                tuple(told["names"]),
                tuple(told["units"]),
                told["time_unit"],
                tuple(told["axis_units"]),
            )
        basis = np.asarray(arrays["basis"]) if "basis" in arrays else None
        return cls(mean, float(about["scale"]), basis, like)


def relative_errors(
    found: ArrayLike,
    true: ArrayLike,
    weights: ArrayLike | None = None,
) -> Float[AnyArray, "*batch"]:
    """||found - true|| / ||true|| of each field, both `"*batch m"`; `weights` `"m"`
    (cos of the latitude, the cells of a part) count the squares: where they are 0, no
    matter what stands there. **Raises:** `ShapeError` for fields of unlike shapes.

    ```python
    >>> import numpy as np
    >>> from pendula.latent import relative_errors
    >>> float(relative_errors(np.array([3.0, 5.0]), np.array([3.0, 4.0])))
    0.2

    ```
    """
    w = np.ones(()) if weights is None else np.asarray(weights)
    if np.shape(found) != np.shape(true) or w.shape not in ((), np.shape(true)[-1:]):
        raise ShapeError(
            f"fields of shape {np.shape(found)} beside true ones of {np.shape(true)}, "
            f"weights of {w.shape}; expected two of (.., m) and (m,)."
        )
    size = lambda x: np.sum(np.where(w == 0, 0.0, w * np.square(x)), axis=-1)
    true = np.asarray(true, np.float64)
    return np.sqrt(size(np.asarray(found, np.float64) - true) / size(true))
