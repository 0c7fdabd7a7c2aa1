"""Options of the benchmarks."""


def pytest_addoption(parser):
    """How often a step is timed; fewer for a quick look."""
    parser.addoption("--rounds", type=int, default=20, help="timed rounds of 5 steps")
    parser.addoption(
        "--hang", type=float, default=0.02, help="seconds that a rod is followed"
    )
