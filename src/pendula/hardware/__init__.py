"""Networks on physical devices: analog memories, training for them and with them."""

from ._circuits import PulseWidth as PulseWidth, ReadNoise as ReadNoise
from ._component import (
    Component as Component,
    Piece as Piece,
    register_analog as register_analog,
)
from ._convert import to_analog as to_analog
from ._converters import Quantised as Quantised
from ._crossbar import (
    Crossbar as Crossbar,
    RandomPairs as RandomPairs,
    spectral_radius as spectral_radius,
)
from ._device import (
    AbstractDevice as AbstractDevice,
    RangeNoise as RangeNoise,
)
from ._equilibrium_fit import (
    FittedEquilibrium as FittedEquilibrium,
    fit_equilibrium as fit_equilibrium,
)
from ._equilibrium_net import (
    HOLOMORPHIC as HOLOMORPHIC,
    EquilibriumNet as EquilibriumNet,
    Relaxed as Relaxed,
)
from ._equilibrium_propagation import (
    AbstractRule as AbstractRule,
    Implicit as Implicit,
    Nudged as Nudged,
    Oscillating as Oscillating,
    Settled as Settled,
    Watched as Watched,
    equilibrium_loss as equilibrium_loss,
)
from ._forward_forward import (
    FittedLocal as FittedLocal,
    ForwardForwardConfig as ForwardForwardConfig,
    fit_forward_forward as fit_forward_forward,
)
from ._forward_only import ForwardOnly as ForwardOnly
from ._front_end import (
    EncoderCost as EncoderCost,
    FittedEncoder as FittedEncoder,
    FrontEndCoder as FrontEndCoder,
    encoder_cost as encoder_cost,
    fit_encoder as fit_encoder,
)
from ._homeostasis import asymmetry as asymmetry, homeostasis as homeostasis
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
from ._projection import (
    ProjectionPair as ProjectionPair,
    fit_projections as fit_projections,
    pair_loss as pair_loss,
)
from ._quantise import (
    BiPer as BiPer,
    Code as Code,
    DiscretizeThenNoise as DiscretizeThenNoise,
    Quantiser as Quantiser,
    quantise as quantise,
    quantised as quantised,
)
from ._readout import (
    RIDGES as RIDGES,
    LinearReadout as LinearReadout,
    fit_classes as fit_classes,
    fit_ridge as fit_ridge,
    fit_softmax as fit_softmax,
)
from ._relaxing import (
    CTT as CTT,
    CTT_TIMES as CTT_TIMES,
    HOUR as HOUR,
    GlobalDriftCompensation as GlobalDriftCompensation,
    Relaxing as Relaxing,
)
from ._reservoir import (
    AbstractReservoir as AbstractReservoir,
    EchoState as EchoState,
    LiquidStateMachine as LiquidStateMachine,
    reservoir_states as reservoir_states,
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
from ._spikes import (
    LIF as LIF,
    LIFState as LIFState,
    latency_code as latency_code,
)
from ._stream_tasks import (
    BitStream as BitStream,
    MemoryCapacity as MemoryCapacity,
    bits_accuracy as bits_accuracy,
    delayed_xor as delayed_xor,
    memory_capacity as memory_capacity,
)
from ._twin import (
    AnalogTwin as AnalogTwin,
    AnalogWarning as AnalogWarning,
)
from ._twin_table import TABLE_COLUMNS as TABLE_COLUMNS
from ._unfold import Unfolded as Unfolded
from ._write_verify import WriteVerify as WriteVerify
