"""Networks on physical devices: analog memories, training for them and with them."""

from ._component import (
    Component as Component,
    Piece as Piece,
    register_analog as register_analog,
)
from ._convert import to_analog as to_analog
from ._device import (
    AbstractDevice as AbstractDevice,
    RangeNoise as RangeNoise,
)
from ._forward_forward import (
    FittedLocal as FittedLocal,
    ForwardForwardConfig as ForwardForwardConfig,
    fit_forward_forward as fit_forward_forward,
)
from ._forward_only import ForwardOnly as ForwardOnly
from ._local_net import (
    LocalLayer as LocalLayer,
    LocalNet as LocalNet,
    UpdateCost as UpdateCost,
    contrast_loss as contrast_loss,
    goodness as goodness,
    goodness_loss as goodness_loss,
    update_cost as update_cost,
)
from ._memories import (
    DAY as DAY,
    PCM as PCM,
    SONOS as SONOS,
    ReRAM as ReRAM,
)
from ._monte_carlo import (
    LEVELS as LEVELS,
    is_right as is_right,
    monte_carlo as monte_carlo,
)
from ._noise import (
    AbstractNoise as AbstractNoise,
    Gaussian as Gaussian,
    NoiseLevel as NoiseLevel,
    Sampler as Sampler,
    StudentT as StudentT,
    Truncated as Truncated,
    Uniform as Uniform,
)
from ._noise_report import NoiseReport as NoiseReport
from ._norms import fold_norms as fold_norms
from ._on_device import (
    ForecastError as ForecastError,
    HardenConfig as HardenConfig,
    harden as harden,
)
from ._pairs import AbstractPair as AbstractPair, TwinCell as TwinCell
from ._physical_boxes import (
    Diffractive as Diffractive,
    OscillatorChain as OscillatorChain,
    UnknownGain as UnknownGain,
)
from ._physical_layer import (
    AbstractPhysicalLayer as AbstractPhysicalLayer,
    External as External,
    boundary as boundary,
    measure as measure,
)
from ._physics_aware import (
    DigitalModel as DigitalModel,
    FittedModel as FittedModel,
    PhysicsAware as PhysicsAware,
    fit_model as fit_model,
    physics_aware as physics_aware,
)
from ._relaxing import (
    CTT as CTT,
    CTT_TIMES as CTT_TIMES,
    HOUR as HOUR,
    GlobalDriftCompensation as GlobalDriftCompensation,
    Relaxing as Relaxing,
)
from ._resilient import (
    Perturbation as Perturbation,
    RangeWatch as RangeWatch,
    clip_weights as clip_weights,
    ha_sgd as ha_sgd,
    hardware_aware as hardware_aware,
    range_penalty as range_penalty,
    recalibrate_norms as recalibrate_norms,
    robust_recipe as robust_recipe,
)
from ._retention import (
    Retention as Retention,
    refresh as refresh,
    time_to_failure as time_to_failure,
)
from ._twin import AnalogTwin as AnalogTwin, AnalogWarning as AnalogWarning
from ._unfold import Unfolded as Unfolded
from ._write_verify import WriteVerify as WriteVerify
