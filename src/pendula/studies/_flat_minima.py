"""Study `flat_minima`: training for noise, its rivals, and what curvature predicts."""

from __future__ import annotations

from ._study import study


flat_minima = study(
    "flat_minima",
    "Training that looks for flat minima: gradients under noise, sharpness-aware "
    "descent, local entropy; and the loss under noise as curvature predicts it.",
)
