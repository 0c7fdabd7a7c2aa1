"""Tasks that recurrent networks are measured by."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from .._checks import choice, fields_whole, whole
from .._errors import ConfigError, DataError
from ..data import Images, SequenceBatch, Sequences


@dataclasses.dataclass(frozen=True)
class Adding:
    """The adding problem: which two of many numbers were marked, and their sum.

    A sequence has numbers from U(0, 1) and beside them marks, 1 at one place of the
    first half and one of the second, else 0; the target is the sum of the marked
    numbers. Always saying 1 has a mean square error of 1/6.

    **Shapes:** `us` `"batch time in"=2`, targets `"batch out"=1`; a batch is a function
    of (`seed`, step) alone.
    **Arguments:** `length` >= 2; `size`: sequences a batch; `per_epoch`: steps between
    two looks at the validation.
    **Raises:** `ConfigError` for numbers that cannot be.
    **Source:** Hochreiter, Schmidhuber 1997, section 5.4, in the form of Rusch et al.
    2022, section 5.

    ```python
    >>> import numpy as np
    >>> from pendula.sequences import Adding
    >>> batch = Adding(10, 3)(0)
    >>> np.allclose((batch.us[..., 0] * batch.us[..., 1]).sum(1), batch.targets[:, 0])
    True

    ```
    """

    length: int
    size: int = 50
    seed: int = 0
    per_epoch: int = 100

    def __post_init__(self) -> None:
        fields_whole(self, "Adding", length=2, size=1, per_epoch=1, seed=0)

    def __call__(self, step: int) -> SequenceBatch:
        """The batch of that step."""
        us, targets = _adding(
            np.random.default_rng([self.seed, step]), self.size, self.length
        )
        return SequenceBatch(us, targets, None, np.ones(self.size, np.float32))

    def sequences(self, count: int) -> Sequences:
        """So many other ones, for a test."""
        us, targets = _adding(
            np.random.default_rng([self.seed, 2**32]), count, self.length
        )
        return Sequences(us, targets, name="adding")


def _adding(
    rng: np.random.Generator, count: int, length: int
) -> tuple[np.ndarray, np.ndarray]:
    us = np.zeros((count, length, 2), np.float32)
    us[..., 0] = rng.random((count, length), np.float32)
    rows, half = np.arange(count), length // 2
    us[rows, rng.integers(0, half, count), 1] = 1.0
    us[rows, rng.integers(half, length, count), 1] = 1.0
    return us, (us[..., 0] * us[..., 1]).sum(axis=1, keepdims=True)


def fitzhugh_nagumo(count: int, kind: str = "accurate", seed: int = 0) -> Sequences:
    r"""One step ahead of a spiking voltage: from v at 1000 times that at the next ones.

    $$ \dot v = v - \tfrac13 v^3 - w + 0.5, \quad
       \dot w = 0.02\,(v + 0.7 - 0.8 w) $$

    from v(0) uniform in [-1, 1], w(0) = 0, at 1001 times from 0 to 400.

    `kind="accurate"`: solved to relative 1e-9 or better. `"as_published"`: by SciPy's
    default Runge-Kutta method (relative 1e-3), interpolated, as the published data were
    made: they contain its errors, about twenty times the published error of prediction,
    so that the two kinds are two tasks.

    **Shapes:** `us` and targets `"sample time one"`.
    **Raises:** `ConfigError` for an unknown kind or a count below 1.
    **Source:** Rusch et al. 2022, section 5; the system by FitzHugh 1961.

    ```python
    >>> from pendula.sequences import fitzhugh_nagumo
    >>> data = fitzhugh_nagumo(2, "as_published")
    >>> data.us.shape, bool((data.us[:, 1:] == data.targets[:, :-1]).all())
    ((2, 1000, 1), True)

    ```
    """
    kinds: dict[str, dict[str, Any]] = {
        "accurate": {"method": "DOP853", "rtol": 1e-11, "atol": 1e-12},
        "as_published": {},
    }
    choice("kind", kind, kinds)
    whole(1, count=count)
    whole(0, seed=seed)
    from scipy.integrate import solve_ivp  # 0.2 s: only when it is used

    # in NumPy: SciPy's solver calls it thousands of times
    slope = lambda v, w: np.stack([v - v**3 / 3 - w + 0.5, 0.02 * (v + 0.7 - 0.8 * w)])
    starts = np.random.default_rng(seed).uniform(-1.0, 1.0, count)
    ts = np.linspace(0.0, 400.0, 1001)

    def solved(v: np.ndarray) -> np.ndarray:
        """v at all times, of all of these starts by the same steps."""
        field = lambda t, y: slope(*y.reshape(2, -1)).ravel()
        begin = np.stack([v, np.zeros_like(v)]).ravel()
        found = solve_ivp(field, (0.0, 400.0), begin, t_eval=ts, **kinds[kind])
        return found.y[: len(v)]

    # the published steps are those of each series alone; a norm over all of them
    # hides the largest error of one, for which the tolerance allows
    each = np.split(starts, count) if kind == "as_published" else [starts]
    found = np.concatenate([solved(v) for v in each])
    v = found[..., None].astype(np.float32)
    return Sequences(v[:, :-1], v[:, 1:], name=f"fitzhugh_nagumo {kind}")


def pixel_sequences(
    images: Images, columns: int = 1, permutation: np.ndarray | None = None
) -> Sequences:
    """Images read pixel by pixel, row after row, `columns` pixels at a time.

    **Shapes:** `us` `"sample time in"`, `time` the number of pixels over `columns`,
    `in` = columns times channels; grey levels and colours in [0, 1].
    **Arguments:** `permutation` `"pixel"`: the order in which pixels are read, the same
    for all images (permuted MNIST); default as they stand. It stays with the
    sequences and with what is trained on them (`FittedSequences.permutation`).
    **Raises:** `ConfigError` for columns that do not divide the pixels; `DataError` for
    a permutation that is none.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Images
    >>> from pendula.sequences import pixel_sequences
    >>> one = np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1)
    >>> images = Images(one, np.zeros(1, np.int32), ("a",))
    >>> (255 * pixel_sequences(images, 3).us[0]).round().tolist()
    [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]

    ```
    """
    height, width, channels = images.shape
    count = height * width
    if count % whole(1, columns=columns):
        raise ConfigError(
            f"columns is {columns}; it must divide the {count} pixels of an image."
        )
    pixels = images.pixels.reshape(len(images), count, channels)
    order = None if permutation is None else np.asarray(permutation)
    if order is not None:
        if (
            order.shape != (count,)
            or order.dtype.kind not in "iu"
            or not np.array_equal(np.sort(order), np.arange(count))
        ):
            raise DataError(
                f"the permutation has the shape {order.shape} and the type "
                f"{order.dtype}; it must hold each whole number of 0 to {count - 1} "
                f"once. Draw one by numpy.random.permutation({count})."
            )
        pixels = pixels[:, order]
    us = pixels.reshape(len(images), count // columns, columns * channels)
    return Sequences(
        np.divide(us, 255, dtype=np.float32),
        images.labels.astype(np.int32),
        None,
        images.classes,
        images.name,
        permutation=order,
    )
