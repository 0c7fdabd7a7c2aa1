"""The configuration of a family fit."""

from __future__ import annotations

import dataclasses

from .._checks import choice, fields_positive, fields_whole, not_negative
from .._errors import ConfigError
from ._config import ModelConfig


Heads = ("concat", "affine", "lowrank", "hyper", "reference")
Modes = (
    "auto",
    "gauss_newton",
    "joint",
    "first_order",
    "second_order",
    "implicit",
    "reference",
)
MOST_WEIGHTS = 4000  # of Gauss-Newton: its normal matrix is dense


@dataclasses.dataclass(frozen=True)
class FamilyConfig:
    """Everything that a family fit is told.

    `model` is as for `fit` (what is learned, which priors); the networks in it depend
    on eta by `head`.
    """

    model: ModelConfig = dataclasses.field(
        default_factory=lambda: ModelConfig(width=32, depth=2)
    )
    head: str = "affine"
    """How weights depend on eta: `affine` (families linear in their parameters),
    `concat` (the thesis), `lowrank`, `hyper`, `reference`."""
    size: int = 1
    """Number of entries of eta; 0: chosen by the error on systems that are held out,
    which takes a few trainings."""
    mode: str = "auto"
    """`gauss_newton` (weights and all etas together, up to 4,000 weights), `joint`
    (the same by Adam), `first_order`, `second_order`, `implicit`, `reference`."""
    horizon: float = 0.0
    """Length of the longest clips in training, in units of time; 0: one dominant
    period, at most 40 samples."""
    steps: int = 0
    """Iterations of each stage (Gauss-Newton) or outer updates; 0: chosen."""
    restarts: int = 1
    """Fresh weights that the first stage of Gauss-Newton is tried with; the best of
    them go on."""
    clips: int = 4
    """Clips of each system in one update, of Gauss-Newton at least."""
    inner_steps: int = 5
    """Steps of the inner loop, m."""
    inner_rate: float = 0.1
    """Their size, alpha, for the mean squared error."""
    lr: float = 3e-3
    """Learning rate of the outer updates."""
    proximal: float = 1e-3
    """Weight of the pull to the shared eta (implicit), lambda."""
    seed: int = 0
    """Seed of weights, etas and clips."""
    dtype: str = "auto"
    """`float32`, `float64`, or `auto`: float64 for Gauss-Newton."""
    every: int = 0
    """Samples skipped between the observations that are used; 0: chosen."""
    exact: bool = False
    """Take measured states as exact, whatever the estimate of their noise says."""
    stride: int = 1
    """Samples to one solver step of the gradient modes: those inside are read off a
    cubic, for motions sampled more finely than they need to be stepped."""
    minutes: float = 10.0
    """A training stops cleanly after this time [min]."""

    def __post_init__(self) -> None:
        choice("head", self.head, Heads)
        choice("mode", self.mode, Modes)
        choice("dtype", self.dtype, ("auto", "float32", "float64"))
        if self.size not in range(17):  # nor is what is no whole number
            raise ConfigError(
                f"size is {self.size}; eta has between 1 and 16 entries, about as "
                "many as the family has unknown parameters; 0: chosen."
            )
        fields_whole(self, restarts=1, clips=1, inner_steps=1, stride=1)
        fields_whole(self, size=0, steps=0, every=0, seed=0)
        fields_positive(self, "", "inner_rate", "lr", "minutes")
        not_negative(horizon=self.horizon, proximal=self.proximal)
