"""Study `curvature`: eigenvalues, traces, densities and kernels of losses, held to
closed forms, to dense references and to the published way of computing them."""

from __future__ import annotations

from ._study import study


curvature = study(
    "curvature",
    "Hessian products by batches, Lanczos, random traces, spectral densities, losses "
    "around a point and the tangent kernel: against closed forms, dense matrices, "
    "published power iteration with its stopping rules, PyTorch's double backward.",
)
