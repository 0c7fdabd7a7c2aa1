"""What strangers hand over is refused in a sentence: without the type checks that the
tests put around every function, for users have none either."""

import json
import re
import subprocess
import sys

import pytest


SETUP = """
import json, sys
import jax.numpy as jnp, numpy as np
import pendula.solutions as s
ring, decays = s.Interval(0.0, 1.0, periodic=True), lambda u, t, p: u.t + p.k * u()
def decay(**more):
    given = dict(time=(0.0, 1.0), conditions=[s.Initial(1.0)], params={"k": 1.0})
    return s.Problem(decays, **{**given, **more})
def wave(**more):
    given = dict(domain=s.Interval(0.0, 1.0), time=(0.0, 1.0), conditions=[])
    given["conditions"] = [s.Initial(0.0), *more.pop("more", [])]
    return s.Problem(lambda u, x, t, p: u.t + u.x, **{**given, **more})
found = s.solve(decay(), check=False)
def run(strategy, **more):
    s.solve(decay(), method="adam", steps=1, strategy=strategy, check=False, **more)
out = []
for code in json.load(sys.stdin):
    try:
        eval(code)
        out.append(["nothing", ""])
    except Exception as error:
        is_ours = isinstance(error, s._problem.ConfigError | s._problem.ShapeError |
            s._problem.DataError)
        out.append(["" if is_ours else type(error).__name__, str(error)])
print(json.dumps(out))
"""
NUMBERS, NAMED = "give numbers", "give names with"
BAD = {
    "decay(params=[1.0])": rf"params are \[1.0\]; {NAMED}",
    "decay(params={'k': 'a'})": f"k = 'a'; {NUMBERS}",
    "decay(params={'k': 1.0, 2: 1.0})": "the name 2",
    "decay(time='ab')": f"time is 'ab'; {NUMBERS}",
    "decay(time=(0.0, 'a'))": NUMBERS,
    "decay(time=(0.0, None))": "time is .*both finite",
    "decay(conditions=[s.Initial('sin')])": 'text "sin"; give a number, or a function',
    "decay(conditions=[s.Initial(None)])": "Initial is None; give a number",
    "decay(conditions=[s.Initial(1.0, weight='a')])": "weight is a",
    "decay(conditions=[s.Initial(1.0, hard='no')])": "hard is 'no'; give True, False",
    "decay(conditions=[s.Initial(1.0, field=0)])": 'no field "0"',
    "decay(fields=1)": "each needs a name",
    "s.Problem('u_t', time=(0.0, 1.0))": "the residual is 'u_t'; give a function",
    "wave(domain=(0.0, 1.0))": r"domain is \(0.0, 1.0\); give Interval",
    "wave(domain=s.Interval)": "domain is Interval; give Interval",
    "wave(more=[s.Dirichlet('a')])": 'text "a"',
    "wave(more=[s.Dirichlet(0.0, on=1)])": "on is 1; give the name of a side",
    "wave(more=[s.Robin('a', 1.0)])": "a is a and b is 1.0",
    "wave(more=[s.Periodic('x', order=1.5)])": "order is 1.5",
    "wave(more=[s.Observation('a', 'b')])": NUMBERS,
    "wave(more=[s.Observation([[0.5, 0.5]], [0.0], operator=3)])": "operator is 3",
    "wave(more=[s.Integral(0.0, density=3)])": "density is 3; give a function",
    "wave(more=[s.Integral(np.nan)])": "Integral is nan",
    "wave(more=[s.Integral(lambda x, t: x)])": "Integral cannot be evaluated",
    "s.Interval('a', 1.0)": "from a to 1.0",
    "s.Interval(0.0, 1.0, periodic='no')": "periodic is 'no'; give True or False",
    "s.Box((0.0, 1.0))": r"an axis is \(0.0, 1.0\); give one Interval",
    "s.Disc('a', 1.0)": NUMBERS,
    "s.Polygon('a')": NUMBERS,
    "s.PointCloud('a')": NUMBERS,
    "s.Difference(s.Disc((0.0, 0.0), 1.0), 2)": "b is 2; give a domain",
    "s.Product(1, ring)": "base is 1; give a domain",
    "s.Unknown('k', init='a')": "init is a",
    "s.solve(decay(), budget=[1])": r"budget is \[1\]; it has to be above 0",
    "s.solve(decay(), budget=True)": "budget is True; it has to be above 0",
    "s.solve(decay(), check='no')": "check is 'no'; give True or False",
    "s.Frozen(config=3)": r"config is 3; give FrozenConfig\(",
    "s.Frozen(levels=1.5)": "levels is 1.5",
    "s.Network(config=s.FrozenConfig())": r"give NetworkConfig\(",
    "s.Balancing('ntk', average='a')": "average is a",
    "s.InTurn(3)": "optimisers are 3; give",
    "run(s.InWindows(['a', 'b']))": NUMBERS,
    "run(s.InWindows(None))": "dt is nan",
    "run(s.Curriculum('k', 1.0))": "values are 1.0; give a list",
    "run(s.Whole(), collocation=lambda *a: np.zeros(3))": r"shape \(3,\); expected",
    "s.ensemble(decay(), s.Frozen(), 5)": r"seeds are 5; give a list.*range\(5\)",
    "s.ensemble(decay(), s.Frozen(), (0.5, 1.5))": "seeds is 0.5",
    "s.ensemble(decay(), s.Frozen(), tol=-1)": "tol is -1",
    "s.ensemble(decay(), s.Frozen(), deadline=3.0)": r"give Deadline.after\(seconds\)",
    "s.solve_family(decay(), [1.0])": rf"params_batch is \[1.0\]; {NAMED}",
    "s.solve_family(decay(), {'k': ['a']})": NUMBERS,
    "s.solve_family(decay(), {'k': [1.0]}, config=s.Frozen())": r"give FrozenConfig\(",
    "s.certify(found, mu='a')": "mu is 'a'; give a finite number",
    "s.certify(found, mu=lambda: 1.0)": "mu cannot be evaluated",
    "s.certify(decay())": "give what solve has found",
    "s.width_decay('a')": "give what solve has found",
    "s.EulerianView(3)": "give what solve has found",
    "found('a')": f"t = 'a'; {NUMBERS}",
    "found.d(3)": "derivative is 3; give letters",
    "s.named_problem(3)": 'no problem "3"',
    "s.method_of(3, {})": 'unknown method "3"',
    "s.lagrangian(1.0, jnp.sin, domain=ring, time=1.0)": "lagrangian: time is 1.0",
    "s.lagrangian(1.0, jnp.sin, domain=ring, time=(0, 1), mean='a')": "mean is a",
    "s.flame_problem('a')": r"flame is 'a'; give Flame\(",
    "s.solve_subdomains([decay()], [])": "give a dictionary",
    "s.select_terms(3, ['value'], rounds=1)": "reward is 3; give a function",
    "s.TermBandit('value')": "terms are 'value'; give a list",
    "s.Axis('a', 1.0)": "the ends are 'a' and 1.0",
}


@pytest.fixture(scope="module")
def said():
    """Code -> what it ended in."""
    done = subprocess.run(
        [sys.executable, "-c", SETUP],
        input=json.dumps(list(BAD)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(BAD, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("code", BAD)
def test_it_is_refused_in_a_sentence(said, code):
    kind, words = said[code]
    assert kind == ""
    assert re.search(BAD[code], words)
    assert "\n" not in words


def test_arrays_stand_for_lists():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            SETUP.split("out =")[0]
            + "run(s.InWindows(np.array([0.0, 0.5, 1.0])))\n"
            + "run(s.Curriculum('k', np.array([0.5, 1.0])))\n"
            + "print(decay(time=np.array([0, 1])).span(), wave(fields=['v']).fields)",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "(0.0, 1.0) ('v',)", done.stderr
