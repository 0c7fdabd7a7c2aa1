"""A training that stops on NaN through the program: status 1, and a page all the
same."""

import jax.numpy as jnp
import numpy as np
import pytest

from pendula.data import write
from pendula.dynamics import Law, known_law
from pendula.report import read_run
from pendula.systems import simulate
from pendula.train import NOT_FINITE


known_law(
    "test_wall",  # no number where q < -1/2
    Law(
        lambda q, v, u, c: -c["k"] * jnp.sqrt(q + 0.5) * jnp.sign(q),
        {"k": ("positive", "")},
        "-k sqrt(q + 1/2) sign q",
    ),
)


@pytest.mark.slow
def test_status_1_and_a_page_that_says_why(pendula, tmp_path):
    y0 = np.array([[0.3, 0.0], [0.9, 0.0], [0.35, 0.0], [0.4, 0.0]])
    made = simulate("harmonic", num=4, duration=6.0, dt=0.1, y0=y0, observe="q", seed=0)
    write(made, tmp_path / "wall.csv")
    options = ["--known", "test_wall", "--free", "k", "--constant", "k=1", "--every", 1]
    done = pendula(
        *["fit", "wall.csv", "--traj", "trajectory", "--learn", "none"],
        *[*options, "--members", 1, "--method", "levenberg", "--debug-nans"],
    )
    assert done.status == 1, done.err
    assert "Traceback" not in done.err
    run = read_run(tmp_path / "runs" / "wall")
    rates, *rest = run.report["training"]["phases"]
    assert rates["reason"].startswith(NOT_FINITE)
    assert "trajectory 1 from " in rates["reason"]
    assert "encountered in sqrt, at test_not_finite.py, line" in rates["reason"]
    # the last phase of Levenberg-Marquardt gives the covariance: it is not skipped
    assert [p["reason"].startswith("skipped") for p in rest[:-1]] == [True] * (
        len(rest) - 1
    )
    assert "refit on all data" not in {p["name"] for p in rest}
    assert run.report["verdict"]["trust"] is False
    assert "Do not trust this forecast" in run.report["verdict"]["text"]
    stopped = "The training stopped on values that are not finite, in its rates."
    assert stopped in run.report["verdict"]["text"]
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "loss or gradient not finite" in page
    assert (run.folder / "model.safetensors").exists()
    assert pendula("check", "runs/wall").status == 1
