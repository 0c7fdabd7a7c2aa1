"""Time integration: fixed-grid rollouts and the Diffrax gateway."""

from ._adaptive import KVAERNO5 as KVAERNO5, Adaptive as Adaptive
from ._field import as_field as as_field
from ._geometric import (
    IMPLICIT_MIDPOINT as IMPLICIT_MIDPOINT,
    YOSHIDA4 as YOSHIDA4,
    ImplicitMidpoint as ImplicitMidpoint,
    Yoshida4 as Yoshida4,
)
from ._grid import linear_path as linear_path, polynomial as polynomial
from ._integrate import integrate as integrate
from ._rollout import (
    Rollout as Rollout,
    rollout as rollout,
    rollout_steps as rollout_steps,
)
from ._schemes import (
    EULER as EULER,
    HEUN as HEUN,
    LEAPFROG as LEAPFROG,
    MIDPOINT as MIDPOINT,
    RK3 as RK3,
    RK4 as RK4,
    RK4_38 as RK4_38,
    AbstractScheme as AbstractScheme,
    Leapfrog as Leapfrog,
    Tableau as Tableau,
    scheme as scheme,
)
from ._strided import rollout_strided as rollout_strided
