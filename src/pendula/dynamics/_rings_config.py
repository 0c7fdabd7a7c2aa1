"""How an energy of rings is learned."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from .._checks import choice, fields_at_least, fields_positive
from ._clips_config import ClipsConfig
from ._rings import RING_GROUPS


LAWS = ("springs", "coupled")


@dataclasses.dataclass(frozen=True)
class RingsConfig(ClipsConfig):
    """The law first, then a network on top of it."""

    channels: ClassVar[tuple[str, ...]] = ("x", "q", "v", "w")

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
    weights: tuple[float, ...] = (1e2, 2.3, 3.0, 0.1)
    """Weights of errors of x, q and of their rates v, w."""

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("law", self.law, LAWS)
        choice("group", self.group, tuple(RING_GROUPS))
        fields_positive(self, "", "width", "depth")
        fields_at_least(self, natural=0)
