"""The network is the solution of a differential equation."""

from ._conditions import (
    Dirichlet as Dirichlet,
    Initial as Initial,
    Integral as Integral,
    Neumann as Neumann,
    Observation as Observation,
    Periodic as Periodic,
    Robin as Robin,
)
from ._dense import Dense as Dense
from ._derivatives import derivatives as derivatives, orders_of as orders_of
from ._domain import (
    AbstractDomain as AbstractDomain,
    Box as Box,
    Interval as Interval,
)
from ._embedding import (
    Axis as Axis,
    Embedding as Embedding,
    FourierFeatures as FourierFeatures,
)
from ._features import TanhFeatures as TanhFeatures
from ._frozen import FrozenConfig as FrozenConfig
from ._law import Field as Field, Law as Law
from ._networks import PlainNet as PlainNet, build as build
from ._networks_gated import ModifiedNet as ModifiedNet, PirateNet as PirateNet
from ._networks_gaussian import GaussianNet as GaussianNet
from ._outcome import Deadline as Deadline, Method as Method, Outcome as Outcome
from ._problem import Problem as Problem
from ._report import Diagnosis as Diagnosis, SolveReport as SolveReport
from ._solution import Solution as Solution
from ._solve import METHODS as METHODS, solve as solve
from ._trial import fit_last_layer as fit_last_layer
from ._unknown import Unknown as Unknown
