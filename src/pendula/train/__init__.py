"""The one training loop, its steps, callbacks and checkpoints."""

from ._adahessian import adahessian as adahessian
from ._adam import (
    GradientStep as GradientStep,
    adam_cosine as adam_cosine,
    gradient_step as gradient_step,
    init_opt as init_opt,
)
from ._adapt import (
    MU_FIRST as MU_FIRST,
    Adaptation as Adaptation,
    EtaPrior as EtaPrior,
    adapt as adapt,
)
from ._callbacks import (
    STOPPED as STOPPED,
    KeepBest as KeepBest,
    MetricsLog as MetricsLog,
    Plateau as Plateau,
    Tell as Tell,
    TimeLimit as TimeLimit,
    logged as logged,
)
from ._caution import (
    Cautious as Cautious,
    halvable as halvable,
    halvings as halvings,
)
from ._chained import (
    chained_normal as chained_normal,
    released as released,
)
from ._checkpoint import (
    Checkpoint as Checkpoint,
    check_same as check_same,
    latest as latest,
    resume as resume,
)
from ._curriculum import (
    ClipBatch as ClipBatch,
    ClipCurriculum as ClipCurriculum,
    clip_loss as clip_loss,
)
from ._dual import Rows as Rows
from ._estimator import (
    AbstractEstimator as AbstractEstimator,
    AuxLoss as AuxLoss,
    Estimate as Estimate,
    Plain as Plain,
    Valued as Valued,
    plain_gradient as plain_gradient,
)
from ._lbfgs import (
    Halt as Halt,
    LBFGSState as LBFGSState,
    lbfgs_state as lbfgs_state,
    lbfgs_step as lbfgs_step,
)
from ._learned_steps import LearnedSteps as LearnedSteps
from ._levenberg import (
    Normal as Normal,
    eliminate_starts as eliminate_starts,
    levenberg_state as levenberg_state,
    levenberg_step as levenberg_step,
    normal_equations as normal_equations,
    posterior_covariance as posterior_covariance,
    pulled_equations as pulled_equations,
)
from ._local_entropy import EntropySGD as EntropySGD
from ._meta import (
    first_order as first_order,
    implicit as implicit,
    inner_descent as inner_descent,
    mean_loss as mean_loss,
    second_order as second_order,
)
from ._prefetch import Prefetch as Prefetch
from ._robust import robust_transform as robust_transform
from ._run import (
    NOT_FINITE as NOT_FINITE,
    AbstractCallback as AbstractCallback,
    NonFinite as NonFinite,
    Step as Step,
    StopTraining as StopTraining,
    finish as finish,
    run as run,
)
from ._second_order import (
    TracePenalty as TracePenalty,
    ha_precond as ha_precond,
)
from ._serial import (
    load_parts as load_parts,
    load_tree as load_tree,
    save_tree as save_tree,
)
from ._sharpness import Asam as Asam, Sam as Sam
from ._smoothed import Ramp as Ramp, Smoothed as Smoothed, ramp as ramp
from ._state import TrainState as TrainState
from ._weight_average import averaged as averaged, swa as swa
