"""Training and validation parts, and the named parts of known sets."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._errors import ConfigError, DataError, nearest
from ._trajectories import Trajectories


def split(
    data: Trajectories,
    fraction: float = 0.2,
    by: str = "auto",
    *,
    seed: int = 0,
) -> tuple[Trajectories, Trajectories, dict[str, Any]]:
    """Training part, validation part, and what went where.

    **Arguments:**
    - `fraction`: share of the trajectories, or of the time, that is held out.
    - `by`: `"trajectory"`: whole trajectories, drawn by `seed`; `"time"`: the end
      of every trajectory; `"named"`: the parts that the set brings with it
      (`origin["parts"]`, keys train and validation); `"auto"`: named if there are
      samples of both, else by trajectory if there are several, else by time.

    **Returns:** (train, validation, info); `info` is JSON-able: `by`, `fraction`,
    `seed`, `text` (one sentence), and for each part the `[trajectory, first,
    stop]` sample ranges of `data` that it holds.
    **Raises:** `ConfigError` for a fraction outside (0, 1) or an unknown way,
    `DataError` when a part would hold fewer than two samples, or a trajectory stands
    in both.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Trajectories, split
    >>> t = np.arange(10.0)
    >>> train, validation, info = split(Trajectories.from_arrays(t, t), 0.3)
    >>> print(train.ts[0, -1], validation.ts[0, 0], info["text"])
    6.0 7.0 the last 30 % in time

    ```
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"the validation fraction is {fraction:g}; expected 0 to 1.")
    parts = data.origin.get("parts", {})
    named = all(
        name in parts and _inside(data, parts[name]).sum() >= 2
        for name in ("train", "validation")
    )
    if by == "auto":
        by = "named" if named else "trajectory" if data.num > 1 else "time"
    if by == "named":
        if not named:
            raise ConfigError(
                "the data have no samples in named parts train and validation. Use by "
                "trajectory or by time."
            )
        keep = [_inside(data, parts[name]) for name in ("train", "validation")]
        text = "the parts that the data set names"
    elif by == "trajectory":
        keep, text = _by_trajectory(data, fraction, seed)
    elif by == "time":
        keep, text = _by_time(data, fraction)
    else:
        allowed = ("auto", "trajectory", "time", "named")
        raise ConfigError(
            f'split by "{by}" is unknown.{nearest(by, allowed)} Allowed: '
            f"{', '.join(allowed)}."
        )
    info: dict[str, Any] = {"by": by, "fraction": fraction, "seed": seed, "text": text}
    cut = []
    for name, mask in zip(("train", "validation"), keep, strict=True):
        cut.append(_take(data, mask, f"{name}: {text}"))
        info[name] = _spans(mask)
    return cut[0], cut[1], info


def part(data: Trajectories, name: str) -> Trajectories:
    """One of the parts that a known set names, such as `"test_arrow"` of the
    Silverbox. **Raises:** `ConfigError` with the nearest name."""
    parts = data.origin.get("parts", {})
    if name not in parts:
        raise ConfigError(
            f'the data have no part "{name}".{nearest(name, parts)} Parts: '
            f"{', '.join(parts) or 'none'}."
        )
    return _take(data, _inside(data, parts[name]), f"part {name}")


def _real(data: Trajectories) -> np.ndarray:
    return np.arange(data.ts.shape[1])[None] < data.lengths[:, None]


def _inside(data: Trajectories, where: dict[str, Any]) -> np.ndarray:
    """Samples `"traj time"` of a part: `labels` of trajectories, and `between` two
    times (first inside, last outside). Times hold after cutting and thinning too,
    sample numbers would not."""
    inside = _real(data)
    if "labels" in where:
        inside &= np.isin(data.labels, where["labels"])[:, None]
    if "between" in where:
        start, stop = where["between"]
        inside &= data.ts >= (-np.inf if start is None else start)
        inside &= data.ts < (np.inf if stop is None else stop)
    return inside


def _by_trajectory(
    data: Trajectories, fraction: float, seed: int
) -> tuple[list[np.ndarray], str]:
    if data.num < 2:
        raise DataError(
            "one trajectory cannot be split by trajectory. Split by time, or give more "
            "trajectories."
        )
    count = min(max(1, round(fraction * data.num)), data.num - 1)
    drawn = np.random.default_rng(seed).permutation(data.num)[:count]
    held = np.isin(np.arange(data.num), drawn)[:, None]
    _check_copies(data, held[:, 0])
    labels = ", ".join(data.labels[i] for i in sorted(drawn)[:5])
    more = ", ..." if count > 5 else ""
    text = f"{count} of {data.num} trajectories ({labels}{more})"
    return [_real(data) & ~held, _real(data) & held], text


def _check_copies(data: Trajectories, held: np.ndarray) -> None:
    """`DataError` where a record that is held out is one of those that are learned
    from: errors on it would look too small."""
    since = data.ts - data.ts[:, :1]
    longest = np.maximum(since.max(1, keepdims=True), np.finfo(float).tiny)
    since = np.round(since / longest, 9)  # wherever it began
    parts = [since, data.ys, data.mask]
    if data.us is not None:
        parts.append(data.us)
    seen: dict[bytes, int] = {}
    for i in np.argsort(held, kind="stable"):  # those of the training first
        n = data.lengths[i]
        key = b"".join(x[i, :n].tobytes() for x in parts)
        twin = seen.setdefault(key, int(i))
        if held[i] and not held[twin]:
            raise DataError(
                f"trajectory {data.labels[i]}, which is held out, is trajectory "
                f"{data.labels[twin]} again, to the last digit: errors on it would "
                "look too small. Give each record once, or split by time."
            )


def _by_time(data: Trajectories, fraction: float) -> tuple[list[np.ndarray], str]:
    end = data.ts[:, -1:]
    limit = end - fraction * (end - data.ts[:, :1])
    real = _real(data)
    # a sample on the limit, up to rounding, is the last of the training part
    late = data.ts > limit + 1e-9 * (end - data.ts[:, :1])
    return [real & ~late, real & late], f"the last {100 * fraction:g} % in time"


def _take(data: Trajectories, inside: np.ndarray, note: str) -> Trajectories:
    counts = inside.sum(axis=1)
    short = np.flatnonzero(counts == 1)
    if counts.sum() == 0 or len(short):
        where = f"of trajectory {data.labels[short[0]]} " if len(short) else ""
        raise DataError(
            f"the part {where}({note}) would hold {len(short)} sample(s); at "
            "least two are needed. Change the fraction, or give a longer record."
        )
    rows = np.flatnonzero(counts)
    chosen = data if len(rows) == data.num else data.select(rows)
    keep = [np.flatnonzero(inside[i]) for i in rows]
    return chosen.gather(keep, note)


def _spans(inside: np.ndarray) -> list[list[int]]:
    """`[trajectory, first, stop]` of every trajectory with samples."""
    out = []
    for i, row in enumerate(inside):
        at = np.flatnonzero(row)
        if len(at):
            out.append([i, int(at[0]), int(at[-1]) + 1])
    return out
