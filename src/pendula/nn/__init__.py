"""Building blocks that two rooms use."""

from ._mlp import (
    ACTIVATIONS as ACTIVATIONS,
    MLP as MLP,
    activation as activation,
)
from ._shaped import ConvexMLP as ConvexMLP, MonotoneMLP as MonotoneMLP
