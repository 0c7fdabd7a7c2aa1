"""Worlds we know: simulators with ground truth, and how they are observed."""

from ._observe import Observation as Observation
from ._pendulum import Pendulum as Pendulum
from ._simulate import simulate as simulate
from ._system import AbstractSystem as AbstractSystem, system as system
