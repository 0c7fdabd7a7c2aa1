"""Which failure is it: planted ones are named, clean problems give no code.

Most evidence is made by hand, a solution that is a formula and a report; the slow
tests solve the planted problems of the study."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from by_hand import CIRCLE, TAU, by_hand, free_form, report
from pendula._precision import precision
from pendula.solutions import (
    Dirichlet,
    Frozen,
    Initial,
    Interval,
    Outcome,
    Periodic,
    Problem,
    Solution,
    build,
    named_problem,
    solve,
)
from pendula.solutions._blocks import equation, soft_blocks
from pendula.solutions._diagnose import ADVICE, diagnose
from pendula.solutions._embedding import Axis
from pendula.solutions._ensemble import ensemble
from pendula.solutions._faults import FAULTS
from pendula.solutions._features import Combination, draw_features
from pendula.solutions._form import hard_form
from pendula.solutions._jumps import jumps
from pendula.solutions._objective import objective
from pendula.solutions._optimise import OptimiserTrace
from pendula.solutions._parts import Part, Windows
from pendula.solutions._signals import alignment, training_signals
from pendula.solutions._twins import Parting, _Lines, parting
from pendula.solutions._width import width, width_decay, width_left, width_words
from pendula.studies._pinns_faults import clean, planted


def codes(solution, *, train=1e-6, check=1e-6, signals=None, converged=False, **more):
    """What is diagnosed from these numbers."""
    many = train if isinstance(train, dict) else {"equation": train}
    told = solution.report.replace(
        converged=converged, train=many, check={"equation": check}, **more
    )
    outcome = Outcome(
        solution.windows, converged, 1, 1, 1, told.train, told.check
    )  # fmt: skip
    outcome = dataclasses.replace(outcome, signals=signals or {})
    return {d.code: d for d in diagnose(solution, told, outcome)}


def wave(beta=4.0):
    return named_problem("convection", beta=beta)


EXACT = lambda x, t, n: [jnp.sin(x - 4.0 * t)]


@pytest.fixture(scope="module")
def exact():
    return by_hand(wave(), EXACT)


def test_every_code_has_evidence_and_advice():
    assert list(ADVICE) == list(FAULTS)
    assert len(ADVICE) == 12


def test_nothing_is_wrong_where_nothing_is(exact):
    assert codes(exact, converged=True) == {}
    good = {"overall": 1e-6, "times": [], "relative": []}
    assert codes(exact, converged=True, train=1e-9, check=1e-5, estimate=good) == {}


def test_an_estimate_above_the_tolerance_is_a_failure(exact):
    bad = {"overall": 3e-4, "times": [], "relative": []}
    found = codes(exact, converged=True, train=1e-9, check=1e-5, estimate=bad)
    assert list(found) == ["overfit_collocation"]


def test_overfit_collocation(exact):
    found = codes(exact, train=1e-6, check=1.2e-4)
    assert list(found) == ["overfit_collocation"]
    assert "1e-06" in found["overfit_collocation"].evidence
    assert "1.2e+02 times" in found["overfit_collocation"].evidence
    assert "more collocation points" in found["overfit_collocation"].advice
    assert codes(exact, train=1e-5, check=9e-5) == {}


@pytest.mark.parametrize(
    ("formula", "what"),
    [
        (lambda x, t, n: [jnp.exp(-t) * jnp.sin(x - 4.0 * t)], "energy"),
        (lambda x, t, n: [jnp.sin(x - 4.0 * t) + 0.1 * t], "mean"),
    ],
)
def test_not_propagated_by_an_invariant(formula, what):
    found = codes(by_hand(wave(), formula))
    assert list(found) == ["not_propagated"]
    drift = {"energy": 100.0 * (1.0 - math.exp(-2.0)), "mean": 10.0 * math.sqrt(2.0)}
    text = found["not_propagated"].evidence
    assert f"the {what}, which the equation keeps" in text
    value = float(text.split("off by ")[1].split(" %")[0])
    assert value == pytest.approx(drift[what], rel=0.02)  # the last Gauss point
    assert codes(by_hand(wave(), formula), train=0.5) == {}


def test_not_propagated_where_the_end_is_flat():
    problem = named_problem("reaction", rho=5.0)
    flat = by_hand(problem, lambda x, t, n: [0.01 * jnp.sin(x) * jnp.exp(-t)])
    bad = {"overall": 0.9, "times": [], "relative": []}
    assert "not_propagated" in codes(flat, estimate=bad)
    assert "not_propagated" not in codes(flat)


def test_under_optimised(exact):
    short = by_hand(wave(), EXACT, until=0.25)
    found = codes(short)
    assert list(found) == ["under_optimised"]
    assert "t = 0.25 of 1" in found["under_optimised"].evidence
    still = {"stopped": 1.0, "decrease": 0.02, "gradient": 0.3}
    found = codes(exact, signals=still)
    assert "2 % in the last 50" in found["under_optimised"].evidence
    rare = codes(exact, signals={**still, "recent": 5000.0})
    assert "2 % in the last 5000" in rare["under_optimised"].evidence
    moving = {"stopped": 1.0, "decrease": 1e-5, "damping_change": -2.0}
    assert "factor of 1e+02" in codes(exact, signals=moving)["under_optimised"].evidence
    assert "0.3" in codes(exact, signals={"stopped": 1.0, "gradient": 0.3})[
        "under_optimised"
    ].evidence  # fmt: skip
    assert codes(exact, signals={"stopped": 0.0, "decrease": 0.02}) == {}
    assert codes(exact, signals={"stopped": 1.0, "decrease": 1e-5}) == {}


def test_precision_floor(exact):
    floor = {"bits": 32.0, "decrease": 1e-8, "decrease64": 1e-3}
    found = codes(exact, signals=floor)
    assert list(found) == ["precision_floor"]
    assert "0.1 %" in found["precision_floor"].evidence
    assert found["precision_floor"].advice == "Train in float64."
    assert codes(exact, signals={**floor, "bits": 64.0}) == {}
    assert codes(exact, signals={**floor, "decrease64": 1e-8}) == {}
    assert codes(exact, signals={**floor, "decrease": 1e-3}) == {}


def test_ill_conditioned(exact):
    assert list(codes(exact, signals={"condition": 1e13})) == ["ill_conditioned"]
    assert list(codes(exact, signals={"curvature_step": 2.5})) == ["ill_conditioned"]
    low = {"condition": 1e11, "curvature_step": 1.5}
    assert codes(exact, signals=low) == {}
    single = {"condition": 5e6, "bits": 32.0}
    assert list(codes(exact, signals=single)) == ["ill_conditioned"]
    assert codes(exact, converged=True, signals={"condition": 1e15}) == {}
    # frozen features tell the condition of what they kept, which is large always
    assert codes(exact, condition=1e13) == {}


def test_gradient_conflict(exact):
    assert "-0.4" in codes(exact, signals={"alignment": -0.4})[
        "gradient_conflict"
    ].evidence  # fmt: skip
    assert codes(exact, signals={"alignment": 0.4}) == {}
    assert list(codes(exact, signals={"weight_ratio": 1e6})) == ["gradient_conflict"]
    apart = {"equation": 1e-1, "initial": 1e-7}
    found = codes(exact, train=apart, check=0.1)
    assert '"initial"' in found["gradient_conflict"].evidence


def poisson(k):
    return Problem(
        lambda u, x, p: u.xx + k * k * jnp.sin(k * x),
        domain=Interval(0.0, TAU),
        conditions=[Dirichlet(0.0)],
    )


@pytest.mark.parametrize(("waves", "named"), [(200, True), (3, False)])
def test_bandwidth(waves, named):
    """A residual that is the source itself, of features that are not used."""
    problem = poisson(float(waves))
    with precision(np.float64):
        features = draw_features(
            problem.domain.bounds, (0,), 40, has_time=False, slope_x=8.0, slope_t=1.0
        )
        trial = Combination(features, jnp.zeros((40, 1)))
        form = hard_form(problem)
        part = Part(trial, jnp.asarray(0.0), jnp.asarray(1.0))
    still = Solution(problem, Windows(form, [part], 0.0), report(problem), {})
    found = codes(still)
    assert ("bandwidth" in found) == named
    if named:
        assert "the strongest has 200" in found["bandwidth"].evidence


def test_sharp_layer():
    """Heat whose solution has a thin layer that it should not have."""
    problem = Problem(
        lambda u, x, t, p: u.t - u.xx,
        domain=Interval(-1.0, 1.0),
        time=(0.0, 1.0),
        conditions=[Initial(jnp.sin)],
    )
    sharp = lambda x, t, n: [jnp.sin(x) * jnp.exp(-t) + 0.01 * jnp.tanh(300.0 * x)]
    smooth = lambda x, t, n: [jnp.sin(x) * jnp.exp(-t) + 0.01 * jnp.tanh(3.0 * x)]
    found = codes(by_hand(problem, sharp))
    assert list(found) == ["sharp_layer"]
    place = float(found["sharp_layer"].evidence.split("x = ")[1].split(",")[0])
    assert abs(place) < 0.01
    assert codes(by_hand(problem, smooth)) == {}


def saddle(rate):
    """b leaves 0 at a rate; a stays what it is."""
    return Problem(
        lambda u, t, p: (u["a"].t, u["b"].t - rate * u["b"]() + u["b"]() ** 3),
        time=(0.0, 1.0),
        fields=("a", "b"),
        conditions=[Initial((1.0, 0.0))],
    )


def test_twins_part_when_the_equation_says_so():
    """A gap of 1e-8 that grows at a known rate."""
    found = parting(saddle(20.0), {})
    begin = found.gaps[np.searchsorted(found.times, 0.2)]
    assert found.horizon is not None
    t = found.times[np.searchsorted(found.times, 0.2)]
    expected = t + math.log(0.1 / begin) / 20.0
    assert found.horizon == pytest.approx(expected, rel=1e-2)
    assert parting(saddle(5.0), {}).horizon is None
    assert "not of first order" in parting(
        Problem(
            lambda u, t, p: u.tt + u(),
            time=(0.0, 1.0),
            conditions=[Initial(1.0), Initial(0.0, order=1)],
        ),
        {},
    )


def test_twins_end_where_the_equation_has_no_slope():
    root = Problem(
        lambda u, t, p: u.t - jnp.sqrt(u()), time=(0.0, 1.0), conditions=[Initial(0.0)]
    )
    assert "finite" in parting(root, {})


def bursting(power=2, **more):
    """u' = u^2 from 1 ends at 1; from 1 + x / 2 on a line at 2 / 3 already."""
    return Problem(
        (lambda u, x, t, p: u.t - u() ** power)
        if more
        else (lambda u, t, p: u.t - u() ** power),
        time=(0.0, 2.0),
        conditions=[Initial((lambda x: 1.0 + 0.5 * x) if more else 1.0)],
        **more,
    )


@pytest.mark.parametrize(
    ("problem", "end"),
    [(bursting(), 1.0), (bursting(3), 0.5), (bursting(domain=Interval(0, 1)), 2 / 3)],
)
def test_twins_tell_where_a_solution_ends(problem, end):
    found = parting(problem, {}, nodes=32)
    assert found.end == pytest.approx(end, rel=1e-5)
    assert found.largest > 1e3


def test_twins_follow_heat_between_ends():
    """sin x under u_t = u_xx + 1.3 u is e^(0.3 t) sin x: slopes between ends are
    right, and what is given there is kept."""
    line = Problem(
        lambda u, x, t, p: u.t - u.xx - 1.3 * u(),
        domain=Interval(0.0, math.pi),
        time=(0.0, 1.0),
        conditions=[Initial(jnp.sin), Dirichlet(0.0)],
    )
    lines = _Lines(line, {}, 24)
    start = lines.start()
    rates = lines.both(0.0, start.ravel())
    np.testing.assert_allclose(rates, 0.3 * start.ravel(), atol=1e-9)
    bent = lines.jacobian(0.0, start.ravel()) @ start.ravel()
    np.testing.assert_allclose(bent, rates, atol=1e-9)
    free = line.replace(conditions=[Initial(jnp.sin)])
    assert "given values only" in parting(free, {})


def test_an_end_that_only_the_nodes_make_is_none(monkeypatch):
    """A layer that is too thin for them runs away, at another time with fewer."""
    late = lambda lines, *_: Parting(
        np.zeros(1), np.zeros(1), None, end=len(lines.space) / 32.0
    )
    monkeypatch.setattr("pendula.solutions._twins._march", late)
    assert "failed" in parting(bursting(domain=CIRCLE), {}, nodes=32)
    assert parting(bursting(), {}, nodes=32).end == 1 / 32


def test_blow_up():
    found = codes(by_hand(bursting(), lambda t, n: [1.0 + t]))
    assert list(found) == ["blow_up"]
    assert "ends at t = 1 of 2" in found["blow_up"].evidence
    assert "earlier end" in found["blow_up"].advice
    short = bursting().replace(time=(0.0, 0.9))
    assert codes(by_hand(short, lambda t, n: [1.0 + t])) == {}


def test_errors_that_grow_are_named(exact):
    bad = {"overall": 0.4, "times": [], "relative": []}
    found = codes(exact, converged=True, estimate=bad)
    assert list(found) == ["errors_grow"]
    assert "estimated error is 0.4" in found["errors_grow"].evidence
    assert "errors_grow" not in codes(exact, estimate=bad)


def test_chaos_horizon():
    still = lambda t, n: [jnp.ones_like(t), jnp.zeros_like(t)]
    found = codes(by_hand(saddle(20.0), still))
    assert list(found) == ["chaos_horizon"]
    assert "before the end at 1" in found["chaos_horizon"].evidence
    assert codes(by_hand(saddle(5.0), still)) == {}
    assert codes(by_hand(saddle(20.0), still), converged=True) == {}
    solution = by_hand(saddle(20.0), still)
    outcome = Outcome(solution.windows, True, 1, 1, 1, {}, {})
    asked = diagnose(solution, solution.report, outcome, chaos=True)
    assert [d.code for d in asked] == ["chaos_horizon"]


def heat(start, **more):
    settings = {"domain": CIRCLE, "time": (0.0, 1.0), "conditions": [], **more}
    conditions = [Initial(start), *settings.pop("conditions")]
    return Problem(lambda u, x, t, p: u.t - u.xx, conditions=conditions, **settings)


def test_jumps_of_starts():
    """The Gaussian's slope and x^2 cos pi x where they close, in closed form."""
    bump = lambda x: jnp.exp(-0.5 * ((x - math.pi) / (math.pi / 4)) ** 2)
    (one,) = jumps(heat(bump))
    assert (one.order, one.where) == (1, "x")
    assert one.size == pytest.approx(32.0 / math.pi * math.exp(-8.0), rel=1e-9)
    assert "slope" in one.text
    assert "0.00342" in one.text
    (one,) = jumps(named_problem("allen_cahn"))
    assert one.size == pytest.approx(4.0)
    assert jumps(wave()) == [] == jumps(named_problem("ks_chaotic"))
    wrong = jumps(heat(lambda x: jnp.sin(1.5 * x)))
    assert [(j.order, round(j.size, 9)) for j in wrong] == [(1, 3.0)]
    # carried by diffusion the kink goes
    problem = heat(bump)
    with precision(np.float64):
        assert jumps(problem, hard_form(problem)) == []
        assert len(jumps(problem, hard_form(problem, carry=False))) == 1


def test_jumps_of_starts_inside():
    """Derivatives on both sides say nothing of a step, and of a kink only where the
    equation has second ones."""
    step = lambda x: jnp.where((x > 1.0) & (x < 2.0), 3.0, 0.0)
    (one,) = jumps(wave().replace(conditions=[Initial(step)]))
    assert (one.order, one.where, one.size) == (0, "x", 3.0)
    assert one.at == pytest.approx(1.0) or one.at == pytest.approx(2.0)
    assert 'of the start of "u" jumps by 3 (1e+02 % of its largest one) at' in one.text
    line = {"domain": Interval(-1.0, 1.0)}
    kink = lambda x: jnp.abs(x - 0.3)
    (one,) = jumps(heat(kink, **line))
    assert (one.order, one.at, one.size) == (1, pytest.approx(0.3), pytest.approx(2.0))
    assert jumps(heat(lambda x: jnp.tanh(1e4 * x), **line)) == []
    advected = Problem(
        lambda u, x, t, p: u.t + u.x, conditions=[Initial(kink)], time=(0, 1), **line
    )
    assert jumps(advected) == []
    still = Problem(
        lambda u, x, t, p: u.t + u(), conditions=[Initial(step)], time=(0, 1), **line
    )
    assert jumps(still) == []


def test_jumps_against_boundary_values():
    line = {"domain": Interval(0.0, 1.0)}
    sides = [Dirichlet(0.3, on="x-"), Dirichlet(lambda x, t: t, on="x+")]
    (one,) = jumps(heat(lambda x: jnp.sin(jnp.pi * x), conditions=sides, **line))
    assert (one.where, one.periodic) == ("x-", False)
    assert one.size == pytest.approx(0.3)
    soft = heat(lambda x: x, conditions=[Periodic("x")], **line)
    assert [(j.order, j.size) for j in jumps(soft)] == [(0, pytest.approx(1.0))]
    assert jumps(poisson(3.0)) == []


def test_incompatible_starts_are_named_even_where_the_tolerance_was_reached():
    problem = heat(
        lambda x: jnp.sin(jnp.pi * x),
        domain=Interval(0.0, 1.0),
        conditions=[Dirichlet(0.3, on="x-"), Dirichlet(0.0, on="x+")],
    )
    solution = by_hand(problem, lambda x, t, n: [jnp.exp(-t) * jnp.sin(jnp.pi * x)])
    assert list(codes(solution, converged=True)) == ["ic_bc_incompatible"]


def decay():
    """u' = -u, points in time and a small network, in the precision around."""
    problem = Problem(
        lambda u, t, p: u.t + u(), time=(0.0, 1.0), conditions=[Initial(1.0)]
    )
    net = build("plain", (Axis(0.0, 1.0),), 1, width=4, depth=1, key=jax.random.key(0))
    return problem, np.linspace(0.0, 1.0, 9), net


def test_alignment_is_the_cosine_of_two_gradients():
    with precision(np.float64):
        problem, t, net = decay()
        blocks = [
            equation(problem, t[:, None]),
            *soft_blocks(problem, np.zeros((1, 0)), t, hard=False),
        ]
        windows = Windows(free_form(problem), [], 1.0)
        goal, theta = objective(problem, windows, blocks, net, 0.0, 1.0, [1.0, 1e3])
        slopes = [
            jax.grad(lambda th, k=k: goal.terms(th)[k])(theta) for k in range(2)
        ]  # fmt: skip
        flat = [np.asarray(jax.flatten_util.ravel_pytree(g)[0]) for g in slopes]
    cosine = flat[0] @ flat[1] / np.linalg.norm(flat[0]) / np.linalg.norm(flat[1])
    assert alignment(goal, theta) == pytest.approx(cosine, rel=1e-9)
    losses = np.concatenate([np.geomspace(1.0, 0.2, 60), [0.1]])
    dampings = np.geomspace(1e-3, 1e-9, 61)
    more = {"gradient": 0.5, "dampings": dampings, "overshoot": lambda: 2.5}
    trace = OptimiserTrace("steps", 60, losses, 1.0, **more)
    found = training_signals(goal, theta, trace)
    assert found["recent"] == 50
    assert found["damping_change"] == pytest.approx(-5.0)
    assert found["curvature_step"] == 2.5
    rare = training_signals(goal, theta, OptimiserTrace("steps", 6000, losses, 1.0))
    assert rare["recent"] == 5000
    assert "damping_change" not in rare
    assert found["bits"] == 64.0
    assert found["stopped"] == 1.0
    assert found["decrease"] == pytest.approx(1.0 - 0.1 / losses[10])
    assert found["weight_ratio"] == pytest.approx(1e6)
    assert found["gradient"] == 0.5
    assert "decrease64" not in found


def test_a_stalled_training_in_float32_is_looked_at_in_float64():
    with precision(np.float32):
        problem, t, net = decay()
        windows = Windows(hard_form(problem), [], 1.0)
        blocks = [equation(problem, t[:, None])]
        goal, theta = objective(problem, windows, blocks, net, 0.0, 1.0)
    trace = OptimiserTrace("stalled", 80, np.full(80, 0.3), 1.0)
    found = training_signals(goal, theta, trace)
    assert found["bits"] == 32.0
    assert found["decrease"] == 0.0
    assert 0.5 < found["decrease64"] <= 1.0  # nothing was trained: it falls


def test_width_counts_modes():
    standing = by_hand(wave(), lambda x, t, n: [jnp.sin(x) * jnp.cos(t)])
    assert np.sum(width_decay(standing) > 1e-9) == 1
    travelling = width_decay(by_hand(wave(), EXACT))
    assert np.sum(travelling > 1e-9) == 2
    np.testing.assert_allclose(np.sum(travelling**2), 1.0)
    jump = by_hand(wave(), lambda x, t, n: [jnp.tanh(40.0 * jnp.sin(x - 4.0 * t))])
    assert np.sum(width_decay(jump) > 1e-3) > 20
    assert width_words(travelling).startswith("2 modes fixed in space leave less")
    assert "`lagrangian`" not in width_words(travelling)
    assert "in coordinates that move with it" in width_words(width_decay(jump))


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=6))
def test_what_modes_leave(sizes):
    sizes = np.sort(np.asarray(sizes))[::-1]
    sizes = sizes / np.linalg.norm(sizes)
    left = width_left(sizes)
    dense = [np.linalg.norm(sizes[n + 1 :]) for n in range(len(sizes))]
    np.testing.assert_allclose(left, dense, rtol=1e-12)
    count = int(width_words(sizes).split(" ")[0])
    assert left[count - 1] < 1e-3
    assert count == 1 or left[count - 2] >= 1e-3


def test_width_of_a_report():
    made = by_hand(wave(), EXACT)
    np.testing.assert_allclose(width(made), width_decay(made))
    nothing = by_hand(wave(), lambda x, t, n: [0.0 * x])
    assert width(nothing) is None
    made.values = lambda points, wanted: {wanted[0]: np.full((len(points), 1), np.inf)}
    assert np.isnan(width_decay(made)).all()
    assert width(made) is None


def test_ensembles_spread():
    problem = Problem(
        lambda u, t, p: u.t + u(), time=(0.0, 1.0), conditions=[Initial(1.0)]
    )

    @dataclasses.dataclass(frozen=True)
    class Scaled:
        """Off by its seed."""

        seed: int = 0
        name = "scaled"

        def run(self, problem, tol, deadline):
            own = self.seed / 100.0
            trial = lambda t, n: [jnp.exp(-t) * (1.0 + own)]
            return Outcome(by_hand(problem, trial).windows, True, 1, 1, 1, {}, {})

        def finer(self, problem, outcome):
            return self

    found = ensemble(problem, Scaled(), seeds=(0, 1, 2))
    np.testing.assert_allclose(found["spread"], 0.01 / 1.01, rtol=1e-9)
    assert found["overall"] == pytest.approx(0.01 / 1.01)
    assert (found["members"], found["converged"]) == (3, 3)
    with pytest.raises(ValueError, match="two different"):
        ensemble(problem, Scaled(), seeds=(1, 1))


def test_planted_faults_are_drawn_by_their_seed():
    names = [fault.name for fault in planted(0)]
    assert len(names) == len(set(names)) == 7
    draws = [
        next(f for f in planted(seed) if f.name == "layer").problem.params["nu"]
        for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1] != draws[2]


# So says the ledger (pinns.A8.layer is 0 of 3): what the layer spoils is carried over
# the domain. Strict: once it is named, this mark and the ledger's row are old.
UNNAMED = pytest.mark.xfail(strict=True, reason="the layer's residual has spread")
NAMES = (
    "few_points", "kink", "period", pytest.param("layer", marks=UNNAMED), "chaos",
    "boundary", "short_waves",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pendula.PendulaWarning")  # some faults are told
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NAMES)
def test_planted_faults_are_named(name, seed):
    """As part A8 of study pinns draws them: features by the seed, too."""
    fault = next(f for f in planted(seed) if f.name == name)
    method = Frozen(dataclasses.replace(fault.method.config, seed=seed))
    found = solve(
        fault.problem, method=method, tol=fault.tol, budget=fault.budget
    ).report.diagnosis
    assert {d.code for d in found} & set(fault.codes), found


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, _ in clean()])
def test_clean_problems_give_no_code(name):
    told = solve(dict(clean())[name]).report
    assert told.diagnosis == ()
    assert told.certificate is not None
    assert told.certificate["informative"]
    estimate = told.estimate
    assert estimate is not None
    assert told.certificate["overall"] >= estimate["overall"] - 1e-11
