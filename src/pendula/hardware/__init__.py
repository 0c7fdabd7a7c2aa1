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
from ._pairs import AbstractPair as AbstractPair, TwinCell as TwinCell
from ._relaxing import (
    CTT as CTT,
    CTT_TIMES as CTT_TIMES,
    HOUR as HOUR,
    GlobalDriftCompensation as GlobalDriftCompensation,
    Relaxing as Relaxing,
)
from ._retention import (
    Retention as Retention,
    refresh as refresh,
    time_to_failure as time_to_failure,
)
from ._twin import AnalogTwin as AnalogTwin, AnalogWarning as AnalogWarning
from ._unfold import Unfolded as Unfolded
from ._write_verify import WriteVerify as WriteVerify
