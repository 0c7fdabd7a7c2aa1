"""Worlds we know: simulators with ground truth, and how they are observed."""

from ._duffing import Duffing as Duffing
from ._harmonic import Harmonic as Harmonic
from ._lorenz import Lorenz as Lorenz
from ._lotka_volterra import LotkaVolterra as LotkaVolterra
from ._observe import Observation as Observation
from ._pendulum import Pendulum as Pendulum
from ._simulate import simulate as simulate
from ._system import (
    AbstractSystem as AbstractSystem,
    check_constants as check_constants,
    constant as constant,
    system as system,
)
