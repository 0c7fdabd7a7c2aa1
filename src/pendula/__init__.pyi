from ._errors import (
    CheckpointError as CheckpointError,
    ConfigError as ConfigError,
    DataError as DataError,
    DivergedError as DivergedError,
    MissingExtra as MissingExtra,
    PendulaError as PendulaError,
    PendulaWarning as PendulaWarning,
    ShapeError as ShapeError,
    Status as Status,
)
from ._registry import register as register
from ._source import Source as Source
from .data import (
    Trajectories as Trajectories,
    open_data as load_data,  # noqa: F401 - public under this name
    read as read,
)
from .dynamics import FitConfig as FitConfig, Fitted as Fitted, fit as fit, load as load
from .solve import integrate as integrate, rollout as rollout
from .systems import simulate as simulate

__version__: str
