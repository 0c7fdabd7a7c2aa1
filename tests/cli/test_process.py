"""The program as a process of its own: start-up, pipes, interrupts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import run_example


PROGRAM = [sys.executable, "-m", "pendula"]


def busy() -> float:
    """How many processes share a core: a limit on seconds holds for an idle one."""
    return max(1.0, 1.5 * os.getloadavg()[0] / (os.cpu_count() or 1))


def test_help_is_quick_and_loads_no_array_library():
    """Best of three: the machine may be busy. Measured 0.2 to 0.3 s."""
    code = (
        "import sys, time; began = time.perf_counter()\n"
        "from pendula.cli import main\n"
        "from pendula.cli._app import COMMANDS\n"
        "assert main(['--help']) == 0\n"
        "print(time.perf_counter() - began, file=sys.stderr)\n"
        "assert all(main([c, '--help']) == 0 for c in COMMANDS)\n"
        "print({'jax', 'numpy', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    seconds = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
        )
        assert done.stdout.rstrip().endswith("set()"), done.stderr
        seconds.append(float(done.stderr))
    assert min(seconds) <= 0.5 * busy()


def test_the_package_runs_as_the_program():
    """`python -m pendula`: the same words, name and exit status."""
    run = lambda *words: subprocess.run(
        [*PROGRAM, *words], capture_output=True, text=True, timeout=60
    )
    done = run("fit", "--help")
    assert done.returncode == 0
    assert "pendula fit" in done.stdout
    assert "__main__" not in done.stdout
    wrong = run("nonsense")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("pendula: Unknown command")


def test_first_line_at_once_and_an_interrupt_leaves_130(tmp_path):
    """Piped output, Ctrl-C in the training: status 130, the way on, no traceback."""
    data = run_example.trajectories()
    from pendula.data import write

    write(data.subsample(20), tmp_path / "swing.csv")
    options = ["--learn", "none", "--known", "gravity_pendulum", "--free", "w2"]
    began = time.monotonic()
    process = subprocess.Popen(
        [*PROGRAM, "fit", "swing.csv", *options, "--members", "1"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    waited = time.monotonic() - began
    assert first == "reading swing.csv\n"
    assert waited <= 2.0 * busy()
    lines = [first]
    while lines[-1] and not lines[-1].startswith("rates"):
        lines.append(process.stderr.readline())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert "--resume" in err
    assert (tmp_path / "runs" / "swing" / "resume").is_dir()
