"""Building blocks that two rooms use."""

from ._conditioned import (
    AbstractConditioned as AbstractConditioned,
    AbstractMember as AbstractMember,
    Affine as Affine,
    Concat as Concat,
    LowRank as LowRank,
    bind as bind,
    conditioned as conditioned,
)
from ._convolution import Convolution as Convolution, convolve as convolve
from ._hyper import Hyper as Hyper, HyperMLP as HyperMLP, encode_task as encode_task
from ._layers import Layers as Layers
from ._mlp import (
    ACTIVATIONS as ACTIVATIONS,
    MLP as MLP,
    activation as activation,
)
from ._norm import (
    NORM_FLOOR as NORM_FLOOR,
    BatchNorm as BatchNorm,
    GroupNorm as GroupNorm,
    NormState as NormState,
    at_least_float32 as at_least_float32,
)
from ._reference import ReferenceMLP as ReferenceMLP, ReferenceNet as ReferenceNet
from ._shaped import ConvexMLP as ConvexMLP, MonotoneMLP as MonotoneMLP
from ._shortcut import ShortcutNet as ShortcutNet
from ._symmetric import (
    HeldNumber as HeldNumber,
    SymmetricMix as SymmetricMix,
    adjoint_weight as adjoint_weight,
    symmetric_mix as symmetric_mix,
)
from ._wide_resnet import WideBlock as WideBlock, WideResNet as WideResNet
from ._wire import Draw as Draw, Shortcut as Shortcut
