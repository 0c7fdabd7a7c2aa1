"""How something is learned on clips that grow: what chains of bars, of rings, and their
contact share."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

from .._checks import fields_positive, fields_whole
from .._errors import ConfigError


_COUNTS = {4: "four", 6: "six"}


@dataclasses.dataclass(frozen=True)
class ClipsConfig:
    """Updates by gradients on clips of records."""

    channels: ClassVar[tuple[str, ...]] = ()  # what `weights` are of

    steps: int = 100
    """Updates on clips."""
    lr: float = 1e-3
    """Learning rate on clips, falling to 1 % by a cosine."""
    falling: bool = True
    """Whether it falls."""
    shortest: int = 8
    """Frames of the first clips."""
    longest: int = 70
    """Frames of the longest."""
    every: int = 2
    """Updates until clips are a frame longer."""
    batch: int = 2
    """Clips to an update."""
    drawn: int = 0
    """Bars (or rings) that count in an update, drawn anew for each; 0: all."""
    weights: tuple[float, ...] = ()
    """Weights of the errors of all kinds of channels."""
    span: float = 0.7
    """Time up to which clips are taken [s]; what comes after chooses the weights."""
    substeps: int = 5
    """Leapfrog steps to a frame."""
    seed: int = 0
    """Of weights and clips."""
    minutes: float = 60.0
    """A training stops cleanly after this time [min]."""

    def __post_init__(self) -> None:
        fields_positive(self, "", "lr", "span", "minutes")
        fields_whole(self, steps=0, drawn=0, seed=0, every=1, batch=1, substeps=1)
        fields_whole(self, shortest=2, longest=2)
        names, good = self.channels, all(0.0 <= w < math.inf for w in self.weights)
        if len(self.weights) != len(names) or not good:
            raise ConfigError(
                f"weights are {list(self.weights)}; expected "
                f"{_COUNTS.get(len(names), len(names))} that are not negative and "
                f"finite, of {', '.join(names)}."
            )
