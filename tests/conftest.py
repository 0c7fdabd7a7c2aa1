"""Settings that every test runs under.

Broadcasting and dtype promotion must be explicit, two CPU devices are simulated,
figures are drawn without a display, and slow tests run in the order of
`tests/slow.txt` until their time is used up.
"""

from __future__ import annotations

import atexit
import gc
import hashlib
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import ClassVar

import jax
import jaxlib
import matplotlib
import pytest

import shared_context


ROOT = Path(__file__).parent.parent
SLOW_LIST = ROOT / "tests" / "slow.txt"

matplotlib.use("Agg")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_num_cpu_devices", 2)
# Tracing makes much garbage, nearly none of it in cycles: looking for those at Python's
# pace costs the tests time and frees little.
gc.set_threshold(100_000, 50, 100)
shared_context.share()


def _program_cache() -> str:
    """Where compiled programs are kept: tests that compile the same one share it.

    Below `PENDULA_CACHE_DIR` they stay for the next run, in a folder of their own for
    each kind of machine and version (entries must not move between machines); without
    it they last as long as this run, for all its worker processes.
    """
    kept = os.environ.get("PENDULA_CACHE_DIR")
    if kept:
        machine = "/".join([*platform.uname()[4:], _processor(), jaxlib.__version__])
        digest = hashlib.sha256(machine.encode()).hexdigest()[:16]
        return str(Path(kept) / f"jax-{digest}")
    if "PENDULA_TEST_PROGRAMS" not in os.environ:
        folder = tempfile.mkdtemp(prefix="pendula-programs-")
        os.environ["PENDULA_TEST_PROGRAMS"] = folder  # worker processes inherit it
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return os.environ["PENDULA_TEST_PROGRAMS"]


def _processor() -> str:
    """What the processor can do, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    told = {line for line in lines if line.startswith(("model name", "flags"))}
    return " ".join(sorted(told))


jax.config.update("jax_compilation_cache_dir", _program_cache())
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def _data_folder() -> Path | None:
    """Where the measured data sets lie: `PENDULA_DATA`, or a folder beside the
    checkout; None when there is none."""
    named = os.environ.get("PENDULA_DATA")
    folder = (ROOT / (named or "../shared/data")).resolve()
    return folder if folder.is_dir() else None


_folder = _data_folder()
if _folder is not None:  # absolute, so that tests may change the working folder
    os.environ["PENDULA_DATA"] = str(_folder)


@pytest.fixture
def key() -> jax.Array:
    """One random key; fold in an index for more."""
    return jax.random.key(0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of the measured data sets; the test is skipped without it."""
    folder = _data_folder()
    if folder is None:
        pytest.skip("PENDULA_DATA is not set: the measured data sets are not here")
    return folder


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
    """Memory grows with compiled programs: each module leaves none behind."""
    yield
    jax.clear_caches()
    shared_context.forget()


@pytest.fixture(autouse=True)
def _forget_programs_of_slow_tests(request: pytest.FixtureRequest):
    """Whole studies compile hundreds of programs: the memory maps of a process
    would run out within one module, and the compiler then dies."""
    yield
    if request.node.get_closest_marker("slow"):
        jax.clear_caches()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pendula")
    group.addoption(
        "--cut",
        type=float,
        default=None,
        metavar="SECONDS",
        help="skip the slow tests that would still run after SECONDS, and move those "
        "that passed, or failed as expected, to the end of tests/slow.txt",
    )


def _slow_list() -> list[str]:
    if not SLOW_LIST.exists():
        return []
    lines = SLOW_LIST.read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pytest_collection_modifyitems(config: pytest.Config, items: list) -> None:
    """Least recently run first: a test that the list lacks comes before all. Of the
    fast ones the file that takes longest: a worker would be left with it at the end."""
    if config.getoption("--cut") is None:
        items.sort(key=lambda item: item.path.name != "test_docs.py")
        return
    place = {name: i for i, name in enumerate(_slow_list())}
    items.sort(key=lambda item: place.get(item.nodeid, -1))


class _Clock:
    """When the run began, and which slow tests it finished."""

    start: ClassVar[float] = time.monotonic()
    passed: ClassVar[list[str]] = []


def _left(item: pytest.Item) -> float | None:
    """Seconds that are left of `--cut`; None without it."""
    cut = item.config.getoption("--cut")
    return None if cut is None else cut - (time.monotonic() - _Clock.start)


def _used_up(item: pytest.Item) -> str:
    cut = item.config.getoption("--cut")
    return f"not finished: the {cut:g} s of this run were used up"


def _compiles(frame: FrameType | None) -> bool:
    """Whether JAX waits for its compiler: that goes on in a thread of its own with what
    an exception here would free, and the process would die, often after its summary."""
    while frame is not None:
        if frame.f_globals.get("__name__") == "jax._src.compiler":
            return True
        frame = frame.f_back
    return False


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Once the time is used up no fixture is made either: some train models."""
    left = _left(item)
    if left is not None and left <= 0:
        pytest.skip(_used_up(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item):
    """Cut a test at the end of the time given by `--cut`; it counts as skipped."""
    left = _left(item)
    if left is None:
        return (yield)

    def stop(_signal, frame):
        # it comes again: a first one may be raised where nothing can be, and be lost
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        if not _compiles(frame):
            pytest.skip(_used_up(item))

    def ignored(lost):
        if not issubclass(lost.exc_type, pytest.skip.Exception):
            told(lost)

    told, sys.unraisablehook = sys.unraisablehook, ignored
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(left, 1e-3))
    try:
        result = yield
    except (Exception, pytest.fail.Exception):
        if item.get_closest_marker("xfail"):  # else it would come first for ever
            _Clock.passed.append(item.nodeid)
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = told
    _Clock.passed.append(item.nodeid)
    return result


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Move the slow tests that passed or failed as expected to the end of the list."""
    if session.config.getoption("--cut") is None or not _Clock.passed:
        return
    known = {item.nodeid for item in session.items}
    kept = [n for n in _slow_list() if n in known and n not in _Clock.passed]
    new = sorted(known - set(kept) - set(_Clock.passed))
    head = [line for line in SLOW_LIST.read_text().splitlines() if line[:1] == "#"]
    SLOW_LIST.write_text("\n".join([*head, *new, *kept, *_Clock.passed]) + "\n")
