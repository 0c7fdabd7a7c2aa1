"""Learned and hybrid vector fields: the network is the force, or the field."""

from ._config import (
    FitConfig as FitConfig,
    KnownConfig as KnownConfig,
    ModelConfig as ModelConfig,
    TrainConfig as TrainConfig,
    from_dict as from_dict,
    to_dict as to_dict,
)
from ._constants import Free as Free, Given as Given, constant as constant
from ._energy import (
    Conservative as Conservative,
    Dissipative as Dissipative,
    Friction as Friction,
    energy as energy,
)
from ._field import (
    AbstractField as AbstractField,
    SecondOrder as SecondOrder,
    Sum as Sum,
    terms_of as terms_of,
)
from ._fit import fit as fit
from ._fitted import Fitted as Fitted, load as load
from ._forecast import Forecast as Forecast
from ._known import Known as Known, Law as Law, known_law as known_law
from ._learned import Learned as Learned, SlotScale as SlotScale
from ._model import Model as Model, weighted_residual as weighted_residual
