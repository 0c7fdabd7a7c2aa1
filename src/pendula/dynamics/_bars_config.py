"""How an energy of bars is learned."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from .._checks import choice, fields_at_least, fields_whole
from ._bar_chain import RULES
from ._bars import GROUPS
from ._clips_config import ClipsConfig


CHANNELS = ("x", "y", "alpha", "vx", "vy", "valpha")
STARTS = ("law", "accelerations", "none")


@dataclasses.dataclass(frozen=True)
class BarsConfig(ClipsConfig):
    """The fast recipe; `published()` is that of the thesis."""

    channels: ClassVar[tuple[str, ...]] = CHANNELS

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
    drawn: int = 20
    """Bars that count in an update, drawn anew for each; 0: all."""
    weights: tuple[float, ...] = (1e2, 1e2, 3.3, 3.0, 3.0, 0.1)
    """Weights of errors of x, y, alpha and of their rates."""
    members: int = 1
    """Networks, each from weights of its own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("group", self.group, tuple(GROUPS))
        choice("rule", self.rule, RULES)
        choice("start", self.start, STARTS)
        fields_whole(self, width=1, depth=1, members=1, start_steps=0)
        fields_at_least(self, natural=0)

    @classmethod
    def published(cls, **changes: object) -> BarsConfig:
        """1000 updates on 5 clips, from random weights, of 2 to 70 frames, rule
        `middle`: Wang 2023, section 3.3, and its code (there with an adaptive
        solver, and gradients of any size: here their norm is cut at 1)."""
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
