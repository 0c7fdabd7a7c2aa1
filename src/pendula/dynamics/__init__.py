"""Learned and hybrid vector fields: the network is the force, or the field."""

from ._bar_chain import (
    BarChain as BarChain,
    BarWorld as BarWorld,
)
from ._bar_contact import (
    ContactConfig as ContactConfig,
    fit_contact as fit_contact,
)
from ._bar_push import GapPotential as GapPotential
from ._bars import (
    ESNN as ESNN,
    AbstractBarEnergy as AbstractBarEnergy,
    ElasticBars as ElasticBars,
    pair_coordinates as pair_coordinates,
)
from ._bars_cells import (
    PolynomialBars as PolynomialBars,
    cell_law as cell_law,
    cell_polynomial as cell_polynomial,
    fit_cells as fit_cells,
)
from ._bars_code import (
    CYCLE_POSES as CYCLE_POSES,
    CycleCode as CycleCode,
    fit_code as fit_code,
    moved_cycles as moved_cycles,
)
from ._bars_code_run import code_path as code_path
from ._bars_config import BarsConfig as BarsConfig
from ._bars_family import (
    BarFamily as BarFamily,
    fit_bar_family as fit_bar_family,
)
from ._bars_fit import fit_bars as fit_bars
from ._bars_follow import (
    BarsFollowed as BarsFollowed,
    check_bars_run as check_bars_run,
    follow_bars as follow_bars,
)
from ._bars_intervals import BarIntervals as BarIntervals
from ._bars_kept import (
    keep_slinky as keep_slinky,
    slinky_network as slinky_network,
    slinky_record as slinky_record,
)
from ._bars_machine import BarsMachine as BarsMachine
from ._bars_records import bar_model as bar_model
from ._bars_run import BarPath as BarPath, bar_path as bar_path, bar_rest as bar_rest
from ._bars_trust import (
    BarForecast as BarForecast,
    BarTrust as BarTrust,
    VisitedRegion as VisitedRegion,
)
from ._bodies import (
    AbstractBody as AbstractBody,
    LearnedBody as LearnedBody,
    Links as Links,
)
from ._config import (
    FitConfig as FitConfig,
    KnownConfig as KnownConfig,
    ModelConfig as ModelConfig,
    TrainConfig as TrainConfig,
    from_dict as from_dict,
    to_dict as to_dict,
)
from ._constants import (
    Free as Free,
    Given as Given,
    Varying as Varying,
    constant as constant,
)
from ._continuity import (
    DRIVE as DRIVE,
    KNOTS as KNOTS,
    STARTS as STARTS,
    SYSTEMS as SYSTEMS,
    continuity as continuity,
    swept_horizon as swept_horizon,
)
from ._control_map import (
    ControlMap as ControlMap,
    load_control_map as load_control_map,
)
from ._control_map_fit import fit_control_map as fit_control_map
from ._cross import (
    CrossConfig as CrossConfig,
    CrossStart as CrossStart,
    adapt_weights as adapt_weights,
    cross_fit as cross_fit,
)
from ._cross_points import RatePoints as RatePoints, rate_loss as rate_loss
from ._elastic_chain import (
    ElasticChain as ElasticChain,
    SpringLaw as SpringLaw,
)
from ._energy import (
    Conservative as Conservative,
    Dissipative as Dissipative,
    Friction as Friction,
)
from ._energy_of import energy as energy, kinetic as kinetic
from ._family import Family as Family, load_family as load_family
from ._family_adapt import Adapted as Adapted
from ._family_config import FamilyConfig as FamilyConfig
from ._family_data import systems_of as systems_of
from ._family_fit import meta_fit as meta_fit
from ._field import (
    AbstractField as AbstractField,
    SecondOrder as SecondOrder,
    Sum as Sum,
    terms_of as terms_of,
)
from ._fit import fit as fit
from ._fit_stochastic import (
    StochasticConfig as StochasticConfig,
    fit_stochastic as fit_stochastic,
)
from ._fitted import Fitted as Fitted, load as load
from ._forecast import Forecast as Forecast
from ._gauge import Gauge as Gauge, GaugeFlow as GaugeFlow, load_gauge as load_gauge
from ._gauge_fit import GaugeConfig as GaugeConfig, fit_gauge as fit_gauge
from ._gauge_intervals import Measurement as Measurement
from ._hamiltonian import (
    Hamiltonian as Hamiltonian,
    PortHamiltonian as PortHamiltonian,
    Ports as Ports,
)
from ._kalman import Stochastic as Stochastic, filtered as filtered
from ._known import Known as Known, Law as Law, known_law as known_law
from ._lagrangian import Lagrangian as Lagrangian
from ._layout import layout as layout
from ._learned import (
    GivenMatrix as GivenMatrix,
    Learned as Learned,
    SlotScale as SlotScale,
)
from ._library import Library as Library, exponents as exponents
from ._model import Model as Model, weighted_residual as weighted_residual
from ._neural_sde import (
    FittedSDE as FittedSDE,
    NeuralSDE as NeuralSDE,
    SDEConfig as SDEConfig,
    StateFrame as StateFrame,
    fit_sde as fit_sde,
)
from ._next_experiment import (
    Experiment as Experiment,
    next_experiment as next_experiment,
)
from ._prepare import estimate_states as estimate_states
from ._reaction import (
    Reaction as Reaction,
    ReactionDiffusion as ReactionDiffusion,
    with_boundary as with_boundary,
)
from ._ring_chain import (
    RingChain as RingChain,
    RingState as RingState,
    RingWorld as RingWorld,
)
from ._rings import (
    ElasticRings as ElasticRings,
    RingESNN as RingESNN,
    ring_coordinates as ring_coordinates,
)
from ._rings_config import RingsConfig as RingsConfig
from ._rings_fit import FittedRings as FittedRings, fit_rings as fit_rings
from ._rings_run import RingPath as RingPath, ring_path as ring_path
from ._sparse import fit_sparse as fit_sparse
from ._start import refine_start as refine_start
from ._stochastic import (
    AbstractStochasticField as AbstractStochasticField,
    Noisy as Noisy,
    Stationary as Stationary,
    Uncertain as Uncertain,
)
from ._stochastic_forecast import (
    FittedStochastic as FittedStochastic,
    StochasticForecast as StochasticForecast,
)
from ._stretches import stretch_errors as stretch_errors
from ._transition import Transition as Transition, transition as transition
