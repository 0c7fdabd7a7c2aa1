"""The preset "small" for `pendula.fit`, as PENDULA_SMALL=1 chooses it in the program:
the pages and examples run as they stand, with fewer members, neurons and steps."""

from __future__ import annotations

import dataclasses
from typing import Any

import pendula
from pendula.cli._fit_options import PRESETS


def shrunk(config: Any) -> Any:
    """The configuration with the sizes of the preset."""
    config = pendula.FitConfig() if config is None else config
    small = PRESETS["small"]
    clips = tuple(small["train"]["clips"])
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, **small["model"]),
        train=dataclasses.replace(config.train, **{**small["train"], "clips": clips}),
    )


def use(monkeypatch: Any, **train: Any) -> None:
    """Until the test ends, everything that fits does so at the small size; `train` are
    settings of the training that make it smaller still."""
    small_train = {**PRESETS["small"]["train"], **train}
    monkeypatch.setitem(PRESETS["small"], "train", small_train)
    fit = pendula.fit
    small = lambda model, data, config=None, **rest: fit(
        model, data, shrunk(config), **rest
    )
    monkeypatch.setattr(pendula, "fit", small)
    monkeypatch.setenv("PENDULA_SMALL", "1")
