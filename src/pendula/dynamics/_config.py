"""The configuration of a fit: a tree of frozen dataclasses with defaults."""

from __future__ import annotations

import dataclasses
from typing import Any

from .._checks import at_least, choice, positive
from .._errors import ConfigError, nearest
from ..nn import activation
from ..solve import scheme


Learn = (
    "auto",
    "field",
    "force",
    "energy",
    "drag",
    "friction",
    "lagrangian",
    "hamiltonian",
    "reaction",
    "none",
)
Order = ("auto", "first", "second")
Method = ("auto", "adam", "levenberg")
Priors = (
    "zero_at_rest",
    "odd",
    "positive",
    "bounded",
    "potential",
    "dissipative",
    "convex",
    "increasing",
    "decreasing",
    "linear",
    "rotation_equivariant",
    "separable",
)


@dataclasses.dataclass(frozen=True)
class KnownConfig:
    """A known law: `[[known]] term = "gravity_pendulum", on = ["theta1"]`."""

    term: str
    """Registered name of the law."""
    on: tuple[str, ...] = ()
    """Channels it acts on; empty: the first one."""
    free: tuple[str, ...] = ()
    """Its constants that are to be found; given values are then the start."""
    constants: dict[str, float] = dataclasses.field(default_factory=dict)
    """Values of its constants, in the units of the data: its channels and its time."""
    channel: int = 0
    """The input that the law `input` uses, counted from 0."""
    boundary: str = "neumann"
    """What holds at both ends where the law is `diffusion`: `neumann` (no flux) or
    `dirichlet` (they keep the values that they start with)."""
    varies: tuple[str, ...] = ()
    """Its constants that each member of a family has its own value of: the first
    entries of eta, in the order of the laws."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What the model is made of."""

    learn: str = "auto"
    """What the network stands for: `field` (dy/dt), `force` (accelerations),
    `energy` (a potential), `drag` (a dissipative matrix times v), `friction` (a
    factor on a classical friction law), `lagrangian` (mass matrix and potential),
    `hamiltonian` (an energy of coordinates and momenta), `reaction` (the rate of each
    channel from its own value, one network for all), `none`. `auto`: the force of a
    second-order system, the reaction beside a known diffusion, else the field."""
    priors: tuple[str, ...] = ()
    """Built into the learned term: `zero_at_rest`, `odd`, `positive`, `bounded` for a
    force or field (the first two also for an energy, where they hold for its force);
    `potential` turns a force into an energy, `dissipative` adds or makes a drag;
    `convex` for an energy with one valley, `increasing` or `decreasing` for a force or
    field that is so in everything it depends on, `linear` for one with a linear part of
    its own, `rotation_equivariant` for one without a preferred direction, `separable`
    for a Hamiltonian T(p) + V(q)."""
    space: int = 0
    """Dimension of the vectors of `rotation_equivariant`, x, y (, z) of one body after
    the other; 0: all coordinates are one vector."""
    linear: tuple[float, ...] = ()
    """The linear part where it is known: rates (or accelerations) by state entries, row
    by row, from the rest state; it is then not trained."""
    bounds: tuple[float, ...] = ()
    """Lowest and highest value of a `bounded` term, in its own units."""
    known: tuple[KnownConfig, ...] = ()
    """Known terms that are added to the learned one."""
    order: str = "auto"
    """Whether channels have hidden velocities."""
    width: int = 64
    """Neurons per hidden layer."""
    depth: int = 2
    """Hidden layers."""
    activation: str = "tanh"
    """A smooth activation."""
    scheme: str = "rk4"
    """One-step scheme of the rollout."""
    substeps: int = 0
    """Solver steps per sampling interval; 0: chosen from the dominant period."""
    precision: float = 1.0
    """Prior precision of the unit-free weights (Levenberg-Marquardt only)."""
    rest: tuple[float, ...] = ()
    """Rest value of each channel, for the priors; empty: 0."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How the model is trained."""

    method: str = "auto"
    """`adam`, `levenberg`, or `auto`: Levenberg-Marquardt up to 400 parameters."""
    members: int = 5
    """Size of the ensemble (seeds trained together)."""
    clips: tuple[int, ...] = (8, 16, 32, 64)
    """Clip lengths of the curriculum, in samples after thinning (Adam)."""
    steps: int = 0
    """Updates per stage of the curriculum, or iterations of
    Levenberg-Marquardt; 0: chosen from the size of the data."""
    batch: int = 64
    """Clips per update (Adam)."""
    lr: float = 3e-3
    """Learning rate at the start of each stage (Adam)."""
    window: float = 0.0
    """Length of the stretches of Levenberg-Marquardt, in units of time; 0: three
    dominant periods."""
    spread: float = 30.0
    """Largest ratio of the members' prior precisions (Levenberg-Marquardt)."""
    minutes: float = 3.0
    """A training stops cleanly after this time [min]."""
    refit: bool = True
    """After the judgement, take the held-out data in (Levenberg-Marquardt)."""
    start: str = "free"
    """Start states of clips: `free` (trained along) or `local` (estimated)."""


@dataclasses.dataclass(frozen=True)
class FitConfig:
    """Everything that a fit is told; the resolved one is saved with the run."""

    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    seed: int = 0
    """Seed of initial weights, batch order and splits."""
    dtype: str = "auto"
    """`float32`, `float64`, or `auto`: float64 for Levenberg-Marquardt."""
    validation: float = 0.2
    """Share of the trajectories (of the time, with one trajectory) held out."""
    every: int = 0
    """Samples skipped between the observations that are used; 0: chosen so that
    a dominant period keeps about 24."""

    def __post_init__(self) -> None:
        choice("model.learn", self.model.learn, Learn)
        for prior in self.model.priors:
            choice("model.priors", prior, Priors)
        activation(self.model.activation)
        scheme(self.model.scheme)
        choice("model.order", self.model.order, Order)
        choice("train.method", self.train.method, Method)
        choice("train.start", self.train.start, ("free", "local"))
        choice("dtype", self.dtype, ("auto", "float32", "float64"))
        train = ("members", "batch", "lr", "minutes", "spread")
        positive(
            **{"model.width": self.model.width},
            **{f"train.{name}": getattr(self.train, name) for name in train},
        )
        model = ("depth", "substeps", "precision")
        at_least(
            0,
            **{f"model.{name}": getattr(self.model, name) for name in model},
            **{"train.steps": self.train.steps, "train.window": self.train.window},
            **{"every": self.every, "seed": self.seed},
        )
        _check_bounds(self.model)
        if not 0 < self.validation < 0.9:
            raise ConfigError(
                f"validation is {self.validation}; it must lie between 0 and 0.9."
            )
        if not self.train.clips or min(self.train.clips) < 2:
            raise ConfigError(
                f"train.clips is {list(self.train.clips)}; every clip needs at least "
                "2 samples."
            )


def _check_bounds(model: ModelConfig) -> None:
    """Bounds and the prior that uses them come together."""
    if ("bounded" in model.priors) != bool(model.bounds):
        raise ConfigError(
            f"model.priors is {list(model.priors)} and model.bounds "
            f"{list(model.bounds)}; the prior bounded and its two bounds come "
            "together, as in model.bounds = [-1.0, 1.0]."
        )
    if model.bounds and not (
        len(model.bounds) == 2 and model.bounds[0] < model.bounds[1]
    ):
        raise ConfigError(
            f"model.bounds is {list(model.bounds)}; expected the lowest and the "
            "highest value, as in [-1.0, 1.0]."
        )


def from_dict(values: Any, kind: type = FitConfig, where: str = "") -> Any:
    """A configuration from nested tables (TOML), every key and type checked.

    **Raises:** `ConfigError` with the path of the field and the nearest name.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{where or 'the configuration'} must be a table.")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    done: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{where}.{key}" if where else key
        if key not in fields:
            raise ConfigError(
                f"unknown setting {path}.{nearest(key, fields)} Known here: "
                f"{', '.join(fields)}."
            )
        done[key] = _convert(value, str(fields[key].type), path)
    for name, field in fields.items():
        needed = (
            field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        )
        if needed and name not in done:
            raise ConfigError(f"{where or 'the configuration'} needs {name}.")
    return kind(**done)


def _convert(value: Any, annotation: str, path: str) -> Any:
    tables = {"ModelConfig": ModelConfig, "TrainConfig": TrainConfig}
    if annotation in tables:
        return from_dict(value, tables[annotation], path)
    if annotation == "tuple[KnownConfig, ...]":
        if not isinstance(value, list | tuple):
            raise ConfigError(
                f"{path} must be a list of tables; write [[{path}]] above each."
            )
        return tuple(
            from_dict(v, KnownConfig, f"{path}[{i}]") for i, v in enumerate(value)
        )
    if annotation == "dict[str, float]":
        if not isinstance(value, dict):
            raise ConfigError(
                f"{path} must be a table of numbers, as in {{w2 = 64.0}}."
            )
        return {k: _convert(v, "float", f"{path}.{k}") for k, v in value.items()}
    if annotation.startswith("tuple["):
        inner = annotation[6:].split(",")[0]
        items = value if isinstance(value, list | tuple) else [value]
        if isinstance(value, str) and inner in ("int", "float"):
            raise ConfigError(
                f"{path} is {value!r}; expected a list of numbers, as in [1, 2]. Write "
                "it without quotes, with both brackets."
            )
        return tuple(_convert(v, inner, path) for v in items)
    kinds = {"str": str, "int": int, "float": (int, float), "bool": bool}
    expected = kinds[annotation]
    if isinstance(value, bool) != (annotation == "bool") or not isinstance(
        value, expected
    ):
        how = {
            "str": "a text. Write it in quotes",
            "int": "a whole number. Write it without quotes and without a point",
            "float": "a number. Write it without quotes",
            "bool": "true or false. Write it without quotes",
        }
        raise ConfigError(f"{path} is {value!r}; expected {how[annotation]}.")
    return float(value) if annotation == "float" else value


def to_dict(config: Any) -> dict[str, Any]:
    """Nested plain tables, for TOML and JSON."""
    out = dataclasses.asdict(config)
    return _plain(out)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value
