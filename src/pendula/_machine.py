"""Where a number was measured: the machine, the versions, the revision."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


# What a number may depend on
PACKAGES = (
    "pendula",
    "jax",
    "jaxlib",
    "equinox",
    "diffrax",
    "optax",
    "optimistix",
    "lineax",
    "numpy",
    "scipy",
    "matplotlib",
    "safetensors",
)


def cores() -> int:
    """Cores that this process may use."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    return here or os.cpu_count() or 1


def memory() -> int | None:
    """Bytes of memory of this machine; None where the system does not tell."""
    names = {"SC_PHYS_PAGES", "SC_PAGE_SIZE"}
    if not names <= set(getattr(os, "sysconf_names", ())):
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def machine() -> str:
    """Processor, cores that this process may use, accelerator, system and Python, one
    line."""
    name = f"{platform.system()} {platform.machine()}, Python"
    parts = [f"{cores()} x {_processor()}", *_accelerators(), name]
    return f"{', '.join(parts)} {platform.python_version()}"


def _accelerators() -> list[str]:
    """The device that JAX computes on, where it is not the processor; nothing before
    JAX was loaded."""
    jax = sys.modules.get("jax")
    if jax is None or jax.default_backend() == "cpu":
        return []
    return [jax.devices()[0].device_kind]


def _processor() -> str:
    """The processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or "unknown processor"


def versions() -> dict[str, str]:
    """Versions of Python and of everything that computes; "missing" where a package
    is not installed."""
    out = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            out[name] = "missing"
    return out


def checkout() -> Path | None:
    """The folder of the source tree that this code runs from; None when it is
    installed without one."""
    folder = Path(__file__).resolve().parents[2]
    return folder if (folder / "pyproject.toml").is_file() else None


def revision() -> str | None:
    """The revision of the source tree, with a `+` when its code has been changed
    since; None outside a git checkout."""
    folder = checkout()
    if folder is None:
        return None
    head = _git(folder, "rev-parse", "--short=12", "HEAD")
    if not head:
        return None
    return head + ("+" if _git(folder, "status", "--porcelain", "--", "src") else "")


def _git(folder: Path, *args: str) -> str | None:
    """What git says, or None when it is not there or refuses."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *args],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
