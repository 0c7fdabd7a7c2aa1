"""Recurrent networks as differential equations driven by an input."""

from ._cde import (
    NeuralCDE as NeuralCDE,
    control_path as control_path,
    neural_cde as neural_cde,
)
from ._cell import (
    AbstractCell as AbstractCell,
    AbstractLinearCell as AbstractLinearCell,
    AbstractMapCell as AbstractMapCell,
    AbstractNoisyCell as AbstractNoisyCell,
    AbstractSteppedCell as AbstractSteppedCell,
    Substeps as Substeps,
    advance as advance,
    with_dt as with_dt,
)
from ._cornn import CoRNNCell as CoRNNCell
from ._fit import (
    FittedSequences as FittedSequences,
    SequenceFitConfig as SequenceFitConfig,
    fit_sequences as fit_sequences,
    predict as predict,
    score as score,
)
from ._gated import GRUCell as GRUCell, LSTMCell as LSTMCell
from ._lem import LEMCell as LEMCell, TwoScaleCell as TwoScaleCell
from ._lipschitz import (
    LipschitzCell as LipschitzCell,
    skewed as skewed,
    stability_margin as stability_margin,
)
from ._lru import LinearRecurrentUnit as LinearRecurrentUnit
from ._model import (
    CELLS as CELLS,
    RecurrentModel as RecurrentModel,
    recurrent_model as recurrent_model,
)
from ._noisy import NoisyCell as NoisyCell
from ._orthogonal import OrthogonalCell as OrthogonalCell
from ._regulariser import (
    ImplicitRegulariser as ImplicitRegulariser,
    implicit_regulariser as implicit_regulariser,
)
from ._residual import ResidualCell as ResidualCell, SimpleCell as SimpleCell
from ._scan import run_cell as run_cell
from ._sensitivity import (
    gradient_profile as gradient_profile,
    growth_rate as growth_rate,
    input_gradient as input_gradient,
    jacobian as jacobian,
    largest_real_parts as largest_real_parts,
    spectra as spectra,
)
from ._tasks import (
    Adding as Adding,
    fitzhugh_nagumo as fitzhugh_nagumo,
    pixel_sequences as pixel_sequences,
)
