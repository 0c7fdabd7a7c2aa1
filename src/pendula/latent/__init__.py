"""Latent dynamics: a change of coordinates in which a field moves simply."""

from ._baselines_fields import (
    Climatology as Climatology,
    climatology as climatology,
    persistence as persistence,
)
from ._certify import (
    StabilityCertificate as StabilityCertificate,
    certify as certify,
)
from ._codec import (
    FieldCodec as FieldCodec,
    pod as pod,
    relative_errors as relative_errors,
)
from ._dmd import ExactDMD as ExactDMD, LinearForecast as LinearForecast
from ._fit_decoder import (
    DecoderFitConfig as DecoderFitConfig,
    FittedDecoder as FittedDecoder,
    fit_decoder as fit_decoder,
)
from ._fit_latent import (
    FittedLatent as FittedLatent,
    LatentFitConfig as LatentFitConfig,
    consistency as consistency,
    fit_latent as fit_latent,
    fit_latents as fit_latents,
    window_loss as window_loss,
)
from ._gappy_pod import (
    FittedGappyPOD as FittedGappyPOD,
    GappyPOD as GappyPOD,
    ReconstructionErrors as ReconstructionErrors,
    reconstruction_errors as reconstruction_errors,
)
from ._hankel_dmd import HankelDMD as HankelDMD, delay_windows as delay_windows
from ._linear_maps import (
    AbstractLinearMap as AbstractLinearMap,
    DenseDynamics as DenseDynamics,
    OrthogonalDynamics as OrthogonalDynamics,
    RotationDynamics as RotationDynamics,
    SpectralNormDynamics as SpectralNormDynamics,
    eigenvalues as eigenvalues,
    linear_map as linear_map,
    spectral_radius as spectral_radius,
)
from ._models import (
    AbstractLatentModel as AbstractLatentModel,
    LatentLinear as LatentLinear,
    LatentODE as LatentODE,
    koopman_modes as koopman_modes,
    latent_linear as latent_linear,
    latent_ode as latent_ode,
    predict_latent as predict_latent,
)
from ._optimized_dmd import OptimizedDMD as OptimizedDMD
from ._sensors import (
    leverage as leverage,
    leverage_sensors as leverage_sensors,
    wall_sensors as wall_sensors,
)
from ._shallow_decoder import ShallowDecoder as ShallowDecoder
from ._stein import (
    discrete_lyapunov as discrete_lyapunov,
    lyapunov_prior as lyapunov_prior,
)
