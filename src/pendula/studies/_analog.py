"""Study `analog`: networks on simulated analog memories."""

from __future__ import annotations

from ._study import study


THESIS = "Wang 2023"
analog = study(
    "analog",
    "Networks whose weights are noisy analog devices: accuracy against noise, training "
    "for it, devices and their drift, dynamics models on such devices.",
)
