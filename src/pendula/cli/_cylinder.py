"""`pendula data cylinder`: snapshots of the wake of a cylinder."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ._console import EVERY, Console
from ._options import TALK, Talk, check_free, names


def cylinder(
    *,
    out: Annotated[
        Path, Parameter(name=["--out", "-o"], help="The file: .nc or .npz.")
    ],
    re: Annotated[float, Parameter(help="Reynolds number U D / nu.")] = 100.0,
    rotation: Annotated[
        float, Parameter(help="Rate at which the cylinder turns, in U/D.")
    ] = 0.0,
    preset: Annotated[
        str, Parameter(help="Resolution: fast, check or reference.")
    ] = "fast",
    phase: Annotated[
        str,
        Parameter(help="periodic: the street; transient: while it forms."),
    ] = "periodic",
    channels: Annotated[tuple[str, ...], Parameter(help="Of vorticity, u, v.")] = (
        "vorticity",
    ),
    num: Annotated[int | None, Parameter(help="Snapshots.")] = None,
    spacing: Annotated[float, Parameter(help="Time between two, in D/U.")] = 0.2,
    start: Annotated[float | None, Parameter(help="Time of the first, in D/U.")] = None,
    trigger: Annotated[
        float | None, Parameter(help="Speed of the push that starts the shedding.")
    ] = None,
    coarsen: Annotated[
        int, Parameter(help="Keep every how many-th node of the grid.")
    ] = 1,
    radial: Annotated[
        int | None, Parameter(help="Radial intervals instead of the preset's.")
    ] = None,
    angular: Annotated[
        int | None, Parameter(help="Angles instead of the preset's.")
    ] = None,
    dt: Annotated[
        float | None, Parameter(help="Longest step instead of the preset's.")
    ] = None,
    force: Annotated[bool, Parameter(help="Replace an existing file.")] = False,
    talk: Talk = TALK,
) -> int:
    """Compute the wake of a cylinder, once, and write its snapshots."""
    console = Console(talk)
    check_free(out, force)
    from ..data import check_snapshots_file, write_snapshots
    from ..systems import CylinderConfig, cylinder_wake

    check_snapshots_file(out)
    config = CylinderConfig(
        re=re,
        rotation=rotation,
        preset=preset,
        phase=phase,
        channels=names(channels),
        num=num,
        spacing=spacing,
        start=start,
        trigger=trigger,
        coarsen=coarsen,
    )
    given = {"num_radial": radial, "num_angular": angular, "dt": dt}
    given = {key: value for key, value in given.items() if value is not None}
    if given:
        mesh = dataclasses.replace(config.resolution, **given)
        config = dataclasses.replace(config, mesh=mesh)
    console.say(f"the wake of a cylinder at Re = {re:g}, to t = {config.times[-1]:g}")
    said = [time.monotonic() - EVERY]

    def tell(t: float, drag: float, lift: float) -> None:
        if time.monotonic() >= said[0] + EVERY:
            said[0] = time.monotonic()
            console.say(f"t = {t:.1f}, C_D {drag:.3f}, C_L {lift:+.3f}")

    data = cylinder_wake(config, tell=tell)
    write_snapshots(data, out)
    nodes = " x ".join(map(str, data.grid))
    text = (
        f"{out}: {len(data)} snapshots of {', '.join(data.names)} on {nodes} nodes, "
        f"t = {data.ts[0]:g} to {data.ts[-1]:g} D/U"
    )
    about = {
        "file": str(out),
        "snapshots": len(data),
        "grid": list(data.grid),
        "channels": list(data.names),
        **data.attrs,
    }
    console.result(text, about)
    return 0
