"""The one training loop, its steps, callbacks and checkpoints."""

from ._adam import (
    adam_cosine as adam_cosine,
    gradient_step as gradient_step,
    init_opt as init_opt,
    plain_gradient as plain_gradient,
)
from ._levenberg import (
    levenberg_state as levenberg_state,
    levenberg_step as levenberg_step,
    posterior_covariance as posterior_covariance,
)
from ._run import (
    AbstractCallback as AbstractCallback,
    NonFinite as NonFinite,
    StopTraining as StopTraining,
    finish as finish,
    run as run,
)
from ._state import TrainState as TrainState
