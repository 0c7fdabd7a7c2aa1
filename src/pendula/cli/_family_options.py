"""From the options of `pendula fit --family` to a configuration."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from .._errors import ConfigError
from ._fit_options import (
    ModelOptions,
    TrainOptions,
    _file,
    _known,
    _merge,
    _overrides,
    _plain_options,
    _preset,
    _rest,
)
from ._systems import SYSTEM


if TYPE_CHECKING:
    from ..data import Trajectories
    from ..dynamics import FamilyConfig

_FAMILY = Group("A family: one law for several systems", sort_key=25)

FAMILY_PRESETS: dict[str, dict[str, Any]] = {
    "default": {"model": {"width": 32, "depth": 2}},
    "small": {"model": {"width": 8, "depth": 1}, "steps": 10},
}


@Parameter(name="*")
@dataclasses.dataclass(frozen=True)
class FamilyOptions:
    """What only the fit of a family is told."""

    family: Annotated[
        bool,
        Parameter(group=_FAMILY, help="Learn the law that several systems share."),
    ] = False
    system: Annotated[str | None, Parameter(group=_FAMILY, help=SYSTEM)] = None
    eta: Annotated[
        int | None,
        Parameter(
            group=_FAMILY,
            help="Numbers that tell a system: 1 to 16; 0: as few as serve systems that "
            "are held out (takes a few trainings). [1]",
        ),
    ] = None
    head: Annotated[
        str | None,
        Parameter(
            group=_FAMILY,
            help="How weights depend on them: affine, concat, lowrank, hyper, "
            "reference.",
        ),
    ] = None
    mode: Annotated[
        str | None,
        Parameter(
            group=_FAMILY,
            help="auto, gauss_newton, joint, first_order, second_order, implicit, "
            "reference.",
        ),
    ] = None

    def check(self) -> None:
        """Refuse an option that only a family has. **Raises:** `ConfigError`."""
        if self.family:
            return
        for name in ("system", "eta", "head", "mode"):
            if getattr(self, name) is not None:
                raise ConfigError(
                    f"--{name} is for a family of systems. Add --family, or leave it "
                    "out."
                )


FAMILY = FamilyOptions()


def build_family_config(
    data: Trajectories, model: ModelOptions, train: TrainOptions, family: FamilyOptions
) -> FamilyConfig:
    """The configuration of a family fit, checked.

    **Raises:** `ConfigError` naming the option or the path of the setting.
    """
    from ..dynamics import FamilyConfig, from_dict

    for name in ("method", "members", "validation", "train_until"):
        if getattr(train, name) is not None:
            raise ConfigError(
                f"--{name.replace('_', '-')} does not go with --family. Leave it out."
            )
    settings = _preset(train.preset, FAMILY_PRESETS, "a family has no such preset")
    _merge(settings, _file(train.config))
    plain = _plain_options(model, train)
    _merge(settings, {k: v for k, v in plain.items() if k != "train"})
    _merge(settings, plain.get("train") or {})
    known = _known(data, model)
    if known:
        settings["model"]["known"] = known
        varying = sum(len(law["varies"]) for law in known)
        settings["size"] = max(settings.get("size", 1), varying)
    rest = _rest(data, model)
    if rest:
        settings["model"]["rest"] = rest
    mine = {"size": family.eta, "head": family.head, "mode": family.mode}
    _merge(settings, {k: v for k, v in mine.items() if v is not None})
    _merge(settings, _overrides(train.settings))
    return from_dict(settings, FamilyConfig)
