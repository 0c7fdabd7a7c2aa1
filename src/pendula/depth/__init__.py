"""Networks that are continuous in depth."""

from ._adapt import (
    Adapted as Adapted,
    adapt as adapt,
    step_errors as step_errors,
)
from ._adjoint import (
    AdjointError as AdjointError,
    adjoint_error as adjoint_error,
)
from ._basis import (
    AbstractBasis as AbstractBasis,
    AbstractLinearBasis as AbstractLinearBasis,
    Linear as Linear,
    PiecewiseConstant as PiecewiseConstant,
    PiecewiseLinear as PiecewiseLinear,
    Polynomial as Polynomial,
    make_basis as make_basis,
)
from ._block import OdeBlock as OdeBlock
from ._evolved import Evolved as Evolved
from ._fit_images import (
    FittedImages as FittedImages,
    accuracy as accuracy,
    classify as classify,
    fit_images as fit_images,
    predict as predict,
)
from ._image_net import (
    ImageNet as ImageNet,
    ImageNetConfig as ImageNetConfig,
    apply_batch as apply_batch,
    recalibrate as recalibrate,
)
from ._images_config import ImageFitConfig as ImageFitConfig
from ._places import Place as Place
from ._profile import DepthProfile as DepthProfile, depth_profile as depth_profile
from ._project import interpolate as interpolate, project as project
from ._stitch import ResidualChain as ResidualChain, Stitch as Stitch
from ._sweep import (
    DepthSweep as DepthSweep,
    Manifestation as Manifestation,
    depth_sweep as depth_sweep,
    manifestation as manifestation,
)
from ._unit import (
    AbstractUnit as AbstractUnit,
    ConvUnit as ConvUnit,
    DenseUnit as DenseUnit,
    SkipInit as SkipInit,
    norm_layer as norm_layer,
)
