"""The network is the solution of a differential equation."""

from ._balancing import Balancing as Balancing
from ._battery import (
    Cell as Cell,
    Electrode as Electrode,
    SingleParticle as SingleParticle,
    particle_problem as particle_problem,
)
from ._certificate import certify as certify
from ._cloud import PointCloud as PointCloud
from ._conditions import (
    Dirichlet as Dirichlet,
    Initial as Initial,
    Integral as Integral,
    Neumann as Neumann,
    Observation as Observation,
    Periodic as Periodic,
    Robin as Robin,
)
from ._constrain import Constrained as Constrained, constrain as constrain
from ._dense import Dense as Dense
from ._derivatives import derivatives as derivatives, orders_of as orders_of
from ._difference import Difference as Difference
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
from ._ensemble import ensemble as ensemble
from ._family import FamilySolution as FamilySolution
from ._family_solve import solve_family as solve_family
from ._features import TanhFeatures as TanhFeatures
from ._first_order import FirstOrder as FirstOrder
from ._flame import Flame as Flame, flame_problem as flame_problem
from ._frozen import Frozen as Frozen
from ._frozen_config import FrozenConfig as FrozenConfig
from ._gauss_newton import GaussNewton as GaussNewton
from ._gaussian_process import GaussianProcess as GaussianProcess
from ._interface import Interface as Interface
from ._lagrangian import (
    EulerianView as EulerianView,
    LagrangianProblem as LagrangianProblem,
    lagrangian as lagrangian,
)
from ._laplace import Estimated as Estimated, marginal as marginal
from ._law import Field as Field, Law as Law
from ._limited_memory import LBFGS as LBFGS
from ._methods import METHODS as METHODS, method_of as method_of
from ._misfit import misfit_words as misfit_words
from ._named import (
    PROBLEMS as PROBLEMS,
    Named as Named,
    named_problem as named_problem,
    truth_call as truth_call,
    truth_of as truth_of,
)
from ._networks import PlainNet as PlainNet, build as build
from ._networks_gated import ModifiedNet as ModifiedNet, PirateNet as PirateNet
from ._networks_gaussian import GaussianNet as GaussianNet
from ._optimise import InTurn as InTurn
from ._outcome import Deadline as Deadline, Method as Method, Outcome as Outcome
from ._polygon import Polygon as Polygon
from ._problem import Problem as Problem
from ._quasi_newton import QuasiNewton as QuasiNewton
from ._report import Diagnosis as Diagnosis, SolveReport as SolveReport
from ._shapes import Disc as Disc, Product as Product
from ._solution import Solution as Solution
from ._solve import solve as solve
from ._strategy import (
    Curriculum as Curriculum,
    Gradual as Gradual,
    InWindows as InWindows,
    Whole as Whole,
)
from ._subdomains import solve_subdomains as solve_subdomains
from ._term_bandit import TermBandit as TermBandit, select_terms as select_terms
from ._trained import (
    Network as Network,
    NetworkConfig as NetworkConfig,
    Training as Training,
)
from ._trial import fit_last_layer as fit_last_layer
from ._unknown import Unknown as Unknown
from ._width import (
    width_decay as width_decay,
    width_left as width_left,
    width_words as width_words,
)
