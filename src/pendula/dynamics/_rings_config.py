"""How an energy of rings is learned."""

from __future__ import annotations

import dataclasses

from .._errors import ConfigError
from ._config import choice
from ._rings import RING_GROUPS


LAWS = ("springs", "coupled")


@dataclasses.dataclass(frozen=True)
class RingsConfig:
    """The law first, then a network on top of it."""

    law: str = "coupled"
    """What the network stands on: six `springs`, or the thirteen constants that the
    symmetry of a helix leaves, `coupled`."""
    width: int = 32
    """Numbers that each layer of the network adds."""
    depth: int = 3
    """Its layers."""
    group: str = "helix"
    """Symmetries: `helix`, those of a wire; `half_turns`; `none`."""
    natural: float = 7e-4
    """Distance of rings at which the law is at rest [m]: the pitch."""
    steps: int = 400
    """Updates on clips; 0: the law alone."""
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
    """Rings that count in an update, drawn anew for each; 0: all."""
    weights: tuple[float, ...] = (1e2, 2.3, 3.0, 0.1)
    """Weights of errors of x, q and of their rates v, w."""
    span: float = 0.7
    """Time up to which clips are taken [s]; what comes after chooses the weights."""
    substeps: int = 5
    """Leapfrog steps to a frame."""
    seed: int = 0
    """Of weights and clips."""
    minutes: float = 60.0
    """A training stops cleanly after this time [min]."""

    def __post_init__(self) -> None:
        choice("law", self.law, LAWS)
        choice("group", self.group, tuple(RING_GROUPS))
        for name in ("width", "depth", "lr", "span", "substeps", "minutes"):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; it must be greater than 0."
                )
        for name in ("steps", "drawn", "natural", "seed"):
            if not getattr(self, name) >= 0:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; it must not be negative."
                )
        if len(self.weights) != 4 or not all(w >= 0.0 for w in self.weights):
            raise ConfigError(
                f"weights are {list(self.weights)}; expected four that are not "
                "negative, of x, q, v, w."
            )
