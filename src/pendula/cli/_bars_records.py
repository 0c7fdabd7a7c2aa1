"""Records of bars as the program takes them: file by file, since each says itself what
machine it is of."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ConfigError
from ._options import Reading
from ._reading import options


if TYPE_CHECKING:
    from ..data import Trajectories


def holds_bars(data: Trajectories) -> bool:
    """Whether data are records of bars.

    **Raises:** `ConfigError` for bars without their rates.
    """
    from ..systems import bar_names, is_bars

    if is_bars(data):
        return True
    if data.dim >= 9 and data.names == bar_names(data.dim // 3):
        raise ConfigError(
            f"the record has {data.dim // 3} bars without their rates. Add the "
            "channels vx0, vy0, valpha0, .., or take other ones with --channels."
        )
    return False


def bar_parts(
    given: Sequence[str], whole: Trajectories, reading: Reading
) -> list[Trajectories]:
    """The records of each file, every one checked; several are labelled with the names
    of their files.

    **Raises:** `DataError` for samples that are missing, or angles that jump.
    """
    from ..data import data_files, open_data
    from ..systems import bar_record, bars_of

    parts = [whole]
    if whole.num > 1 and all(Path(name).exists() for name in given):
        files = data_files(given)
        if len(files) > 1:
            parts = []
            for path in files:
                one = open_data(path, **options(reading))
                parts.append(dataclasses.replace(one, labels=_labels(path, one)))
    for part in parts:
        for i in range(part.num):
            bar_record(*bars_of(part, i))
    return parts


def _labels(path: Path, data: Trajectories) -> tuple[str, ...]:
    if data.num == 1:
        return (path.name,)
    return tuple(f"{path.name}/{label}" for label in data.labels)


def one_machine(parts: Sequence[Trajectories]) -> None:
    """Refuse simulated records that are of different machines.

    **Raises:** `ConfigError`.
    """
    from ..systems import SlinkyCase

    seen = []
    for part in parts:
        case = SlinkyCase.recorded(part.origin)
        own = ("last", "drag", "heavier", "stiffer", "moving", "touching")
        seen.append(None if case is None else tuple(getattr(case, k) for k in own))
    for part, told in zip(parts, seen, strict=True):
        if told != seen[0]:
            raise ConfigError(
                f"{parts[0].labels[0]} and {part.labels[0]} are of different machines "
                "or held differently. Learn from one, and score the other with "
                "`pendula score`."
            )
