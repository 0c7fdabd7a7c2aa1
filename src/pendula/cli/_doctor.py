"""`pendula doctor`: is this machine ready?"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .._machine import cores, versions
from ._console import Console
from ._options import TALK, Talk


def doctor(*, talk: Talk = TALK) -> int:
    """Versions, devices, threads, float64, write access, cache folder, speed."""
    console = Console(talk)
    console.say("looking at this machine")
    rows: dict[str, Any] = {
        "python": f"{platform.python_version()} on {platform.platform()}",
        "cpus": cores(),
        "versions": versions(),
    }
    failed = []
    checks: dict[str, Callable[[], str]] = {
        "devices": _devices,
        "float64": _float64,
        "writable": _writable,
        "cache": _cache,
        "data": _data,
        "rollout": _rollout,
    }
    for name, check in checks.items():
        console.detail(f"checking {name}")
        try:
            rows[name] = check()
        except (OSError, RuntimeError, ValueError) as error:
            rows[name] = f"FAILED: {error}"
            failed.append(name)
    told = ", ".join(f"{k} {v}" for k, v in rows["versions"].items())
    lines = [f"{k:<9} {told if k == 'versions' else v}" for k, v in rows.items()]
    verdict = f"failed: {', '.join(failed)}" if failed else "ready"
    console.result("\n".join([*lines, verdict]), {**rows, "failed": failed})
    return 1 if failed else 0


def _devices() -> str:
    import jax

    return ", ".join(f"{d.platform}:{d.id} {d.device_kind}" for d in jax.devices())


def _float64() -> str:
    """Whether a float64 scope keeps sixteen digits."""
    import jax.numpy as jnp
    import numpy as np

    from .._precision import precision

    with precision(np.float64):
        value = float(jnp.asarray(1.0) + jnp.asarray(1e-12) - jnp.asarray(1.0))
    if abs(value - 1e-12) > 1e-15:
        raise RuntimeError(f"1 + 1e-12 - 1 gave {value:g}")
    return "yes, inside its scope"


def _writable() -> str:
    import tempfile

    with tempfile.TemporaryFile(dir=Path.cwd()):
        return str(Path.cwd())


def _cache() -> str:
    from ..data import cache_folder

    folder = cache_folder()
    there = next(p for p in (folder, *folder.parents) if p.exists())
    can = "can" if os.access(there, os.W_OK) else "cannot"
    return f"{folder} ({can} be written)"


def _data() -> str:
    named = os.environ.get("PENDULA_DATA")
    if named is None:
        return "PENDULA_DATA is not set: named sets need it"
    if not Path(named).is_dir():
        raise OSError(f"PENDULA_DATA is {named}: there is no such folder")
    return named


def _rollout() -> str:
    """Two seconds of a pendulum: compile, then the best of five runs."""
    import jax
    import jax.numpy as jnp

    from ..solve import rollout, scheme
    from ..systems import Pendulum

    world, ts = Pendulum(), jnp.linspace(0.0, 2.0, 201)

    @jax.jit
    def run(y0: jax.Array) -> jax.Array:
        return rollout(world, y0, ts, scheme=scheme("rk4")).ys

    began = time.perf_counter()
    y0 = jnp.array([1.0, 0.0])
    last = run(y0).block_until_ready()
    compiled = time.perf_counter() - began
    if not bool(jnp.isfinite(last).all()):
        raise RuntimeError("a pendulum's rollout is not finite")
    best = min(_timed(lambda: run(y0).block_until_ready()) for _ in range(5))
    return f"200 RK4 steps: compiled in {compiled:.2f} s, run in {1e3 * best:.2f} ms"


def _timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
