from ._errors import CheckpointError as CheckpointError
from ._errors import ConfigError as ConfigError
from ._errors import DataError as DataError
from ._errors import DivergedError as DivergedError
from ._errors import MissingExtra as MissingExtra
from ._errors import PendulaError as PendulaError
from ._errors import PendulaWarning as PendulaWarning
from ._errors import ShapeError as ShapeError
from ._errors import Status as Status
from .data import Trajectories as Trajectories
from .solve import rollout as rollout

__version__: str
