"""Can it be trusted: error growth, intervals, verdict, baselines, confounding.

Everything here takes arrays and callables; how a model was trained it cannot know.
"""

from ._baseline import (
    AbstractBaseline as AbstractBaseline,
    AbstractFittedBaseline as AbstractFittedBaseline,
    Mean as Mean,
    Persistence as Persistence,
)
from ._baselines import (
    BASELINES as BASELINES,
    baseline as baseline,
    fit_baselines as fit_baselines,
)
from ._causality import Causality as Causality, causality as causality
from ._components import (
    PrincipalDimension as PrincipalDimension,
    SensitiveDimension as SensitiveDimension,
    principal_dimension as principal_dimension,
    sensitive_dimension as sensitive_dimension,
)
from ._confounded import confounded as confounded, is_confounded as is_confounded
from ._convergence import convergence_test as convergence_test
from ._convergence_plot import plot_sweep as plot_sweep
from ._convergence_rates import Order as Order
from ._convergence_result import Convergence as Convergence
from ._corruptions import (
    AbstractCorruption as AbstractCorruption,
    Dropped as Dropped,
    Multiplicative as Multiplicative,
    ProjectedDescent as ProjectedDescent,
    SaltAndPepper as SaltAndPepper,
    Shift as Shift,
    SignOfGradient as SignOfGradient,
    White as White,
    corruption as corruption,
)
from ._density import (
    SpectralDensity as SpectralDensity,
    spectral_density as spectral_density,
)
from ._directions import (
    line_to as line_to,
    random_directions as random_directions,
)
from ._eigenvalues import (
    Eigenvalues as Eigenvalues,
    top_eigenvalues as top_eigenvalues,
)
from ._equilibria import Equilibrium as Equilibrium, equilibria as equilibria
from ._finding import Finding as Finding
from ._flatness import Flatness as Flatness, flatness as flatness
from ._growth import (
    Growth as Growth,
    ValidTime as ValidTime,
    error_growth as error_growth,
    valid_time as valid_time,
)
from ._halving import Halving as Halving, step_halving as step_halving
from ._hessian import (
    AbstractCurvature as AbstractCurvature,
    GaussNewtonOperator as GaussNewtonOperator,
    HessianOperator as HessianOperator,
    ScaledCurvature as ScaledCurvature,
)
from ._intervals import (
    Conformal as Conformal,
    Coverage as Coverage,
    coverage as coverage,
    coverage_growth as coverage_growth,
    held_out_coverage as held_out_coverage,
)
from ._intrinsic import (
    IntrinsicDimension as IntrinsicDimension,
    NeighbourDimension as NeighbourDimension,
    intrinsic_dimension as intrinsic_dimension,
    neighbour_dimension as neighbour_dimension,
)
from ._invariants import Drift as Drift, drift as drift
from ._landscape import Landscape as Landscape, landscape as landscape
from ._limit_cycle import LimitCycle as LimitCycle, limit_cycle as limit_cycle
from ._linear import FittedLinear as FittedLinear, Linear as Linear
from ._lyapunov import (
    Divergence as Divergence,
    Exponents as Exponents,
    divergence as divergence,
    lyapunov_exponents as lyapunov_exponents,
)
from ._modified import (
    ModifiedField as ModifiedField,
    modified_eigenvalue as modified_eigenvalue,
    predicted_continuum_error as predicted_continuum_error,
    stability_polynomial as stability_polynomial,
)
from ._normal import (
    AbstractNormal as AbstractNormal,
    Autoregression as Autoregression,
    Climatology as Climatology,
    PhaseMean as PhaseMean,
    RandomWalk as RandomWalk,
    Repeat as Repeat,
)
from ._polynomial import (
    FittedPolynomial as FittedPolynomial,
    SparsePolynomial as SparsePolynomial,
)
from ._regimes import Regimes as Regimes, regimes as regimes
from ._residuals import (
    autocorrelation as autocorrelation,
    autocorrelation_time as autocorrelation_time,
)
from ._robustness import (
    Robustness as Robustness,
    correct as correct,
    cross_entropy as cross_entropy,
    robustness as robustness,
    squared_error as squared_error,
)
from ._scores import (
    Scores as Scores,
    crps_normal as crps_normal,
    crps_samples as crps_samples,
    log_score as log_score,
)
from ._signal import SignalNorms as SignalNorms, signal_norms as signal_norms
from ._statistics import (
    Statistics as Statistics,
    compare_statistics as compare_statistics,
    power_spectrum as power_spectrum,
)
from ._step_guard import HALVED as HALVED, StepGuard as StepGuard
from ._tangent_kernel import (
    TangentKernel as TangentKernel,
    tangent_kernel as tangent_kernel,
)
from ._trace import Trace as Trace, trace as trace
from ._verdict import Limits as Limits, Verdict as Verdict, verdict as verdict
