"""How an energy of bars is learned."""

from __future__ import annotations

import dataclasses

from .._errors import ConfigError
from ._bar_chain import RULES
from ._bars import GROUPS
from ._config import choice


STARTS = ("law", "accelerations", "none")


@dataclasses.dataclass(frozen=True)
class BarsConfig:
    """The fast recipe; `published()` is that of the thesis."""

    width: int = 32
    """Numbers that each layer of the network adds."""
    depth: int = 5
    """Its layers."""
    group: str = "helix"
    """Symmetries: `helix`, those of a wire; `order4` as published; `order8`, `none`."""
    rule: str = "conservative"
    """How forces come from it: `conservative` or `middle`."""
    bounded: bool = False
    """Whether the energy has a floor for any weights."""
    activation: str = "softplus"
    """`softplus` or `relu`."""
    squared: bool = True
    """Whether the last layer sees squares."""
    start: str = "law"
    """What the network begins with: the classical `law`, whose three constants are
    found first; the measured `accelerations`; `none`: random weights."""
    natural: float = 7e-4
    """Distance of bars at which the classical law is at rest [m]: the pitch."""
    start_steps: int = 10000
    """Updates of that beginning (`accelerations`: 300 are published)."""
    steps: int = 600
    """Updates on clips."""
    lr: float = 2e-4
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
    drawn: int = 20
    """Bars that count in an update, drawn anew for each; 0: all."""
    weights: tuple[float, ...] = (1e2, 1e2, 3.3, 3.0, 3.0, 0.1)
    """Weights of errors of x, y, alpha and of their rates."""
    span: float = 0.7
    """Time up to which clips are taken [s]; what comes after chooses the weights."""
    substeps: int = 5
    """Leapfrog steps to a frame."""
    members: int = 1
    """Networks, each from weights of its own."""
    seed: int = 0
    """Of weights and clips."""
    minutes: float = 60.0
    """A training stops cleanly after this time [min]."""

    def __post_init__(self) -> None:
        choice("group", self.group, tuple(GROUPS))
        choice("rule", self.rule, RULES)
        choice("start", self.start, STARTS)
        positive = ("width", "depth", "lr", "span", "substeps", "members", "minutes")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; it must be greater than 0."
                )
        for name in ("steps", "start_steps", "drawn", "natural", "seed"):
            if not getattr(self, name) >= 0:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; it must not be negative."
                )
        if len(self.weights) != 6 or not all(w >= 0.0 for w in self.weights):
            raise ConfigError(
                f"weights are {list(self.weights)}; expected six that are not "
                "negative, of x, y, alpha and of their rates."
            )

    @classmethod
    def published(cls, **changes: object) -> BarsConfig:
        """1000 updates on 5 clips, from random weights, of 2 to 70 frames, rule
        `middle`: Wang 2023, section 3.3, and its code (there with an adaptive
        solver)."""
        own: dict = {
            "start": "none",
            "group": "order4",
            "rule": "middle",
            "steps": 1000,
            "lr": 1e-3,
            "falling": False,
            "shortest": 2,
            "batch": 5,
            "weights": (1e2, 1e2, 1.0, 1e2, 1e2, 1.0),
            "seed": 1029,
        }
        return cls(**{**own, **changes})
