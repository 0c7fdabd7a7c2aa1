"""Causal weights: their formula, their end, and the notice that goes with them."""

import re
import warnings
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from numpy.testing import assert_allclose, assert_array_equal

import pendula.solutions
from pendula._errors import ConfigError, PendulaWarning
from pendula._precision import precision
from pendula.solutions import _causal
from pendula.solutions._balancing import Balancing
from pendula.solutions._blocks import equation, soft_blocks
from pendula.solutions._causal import NOTICE, Causal, CausalObjective
from pendula.solutions._conditions import Initial
from pendula.solutions._first_order import FirstOrder
from pendula.solutions._form import hard_form
from pendula.solutions._objective import objective
from pendula.solutions._outcome import Deadline
from pendula.solutions._parts import Windows
from pendula.solutions._problem import Problem


KEY = jax.random.key(0)
DECAY = Problem(
    lambda u, t, p: u.t + u(), time=(0.0, 1.0), conditions=[Initial(1.0, hard=False)]
)


@pytest.fixture(autouse=True)
def _float64():
    with precision(np.float64):
        yield


class Line(eqx.Module):
    """a + b s."""

    weight: Array

    def __call__(self, points):
        return (self.weight[0] + self.weight[1] * points[:, -1])[:, None]


def made(a=0.5, b=0.25):
    """The objective of u' + u = 0, u(0) = 1 with u = a + b t at four times."""
    times = np.asarray([0.9, 0.1, 0.6, 0.3])  # in no order
    blocks = [equation(DECAY, times[:, None])]
    blocks += soft_blocks(DECAY, np.zeros((1, 0)), np.zeros(1))
    empty, net = Windows(hard_form(DECAY), [], 1.0), Line(jnp.asarray([a, b]))
    return objective(DECAY, empty, blocks, net, 0.0, 1.0)


def causal(strength=2.0, initial=3.0, **start):
    own, theta = made(**start)
    chunk = jnp.asarray(Causal(chunks=2)._chunks(own))
    at = (chunk, jnp.asarray(strength), jnp.asarray(initial))
    return CausalObjective(own, *at, 2), theta


def test_chunks_follow_time():
    own, _ = made()
    assert_array_equal(Causal(chunks=2)._chunks(own), [1, 0, 1, 0])
    assert_array_equal(Causal(chunks=4)._chunks(own), [3, 0, 2, 1])


def test_weights_by_hand():
    """Residuals are 3/4 + t/4, that of the start -1/2."""
    own, theta = causal()
    first = np.mean((0.75 + 0.25 * np.asarray([0.1, 0.3])) ** 2)
    weights = np.exp(-2.0 * np.asarray([0.75, 0.75 + first]))  # 3 x (1/2)^2 before all
    found = own.causal(own.objective.residuals(theta))
    assert_allclose(found, weights, rtol=1e-12)
    second = np.mean((0.75 + 0.25 * np.asarray([0.6, 0.9])) ** 2)
    terms = [(weights[0] * first + weights[1] * second) / 2.0, 0.25]
    assert_allclose(own.terms(theta), terms, rtol=1e-12)
    assert_allclose(own.loss(theta), own.objective.loss(theta))


def test_no_slope_goes_through_the_weights():
    own, theta = causal()
    weights = own.causal(own.objective.residuals(theta))

    def held(theta):
        rows = own.objective.residuals(theta)[0]
        return jnp.mean(weights[own.chunk][:, None] * rows**2)

    ours = jax.grad(lambda theta: own.terms(theta)[0])(theta)
    assert_allclose(ours.net.weight, jax.grad(held)(theta).net.weight, rtol=1e-12)


def test_it_trains_stage_by_stage():
    """With growing strengths; each stage ends once all chunks count."""
    own, theta = made()
    method = FirstOrder(steps=2000, rate=2e-2, decay="none", inner=50)
    cautious = Causal(method, ladder=(0.01, 0.1), chunks=2, enough=0.95)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendulaWarning)
        found, trace = cautious.minimise(own, theta, deadline=Deadline(), key=KEY)
        _, none = cautious.minimise(own, theta, deadline=Deadline(0.0), key=KEY)
    assert trace.reason == "converged"
    assert 100 <= trace.iterations < 2000
    assert trace.losses[-1] < 0.5 * trace.losses[0]
    assert isinstance(found.net.weight, np.ndarray)
    assert (none.reason, none.iterations) == ("budget", 0)


def test_the_last_weights_of_a_stage_are_kept():
    """Not those before it, although its rate is far too large and the loss rises."""
    own, theta = made()
    method = FirstOrder(steps=5, rate=1.0, decay="none", inner=5, clip=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendulaWarning)
        found, _ = Causal(method, ladder=(0.01,), chunks=2).minimise(
            own, theta, deadline=Deadline(), key=KEY
        )
    best, _ = method.minimise(own, theta, deadline=Deadline(), key=KEY)
    assert_allclose(best.net.weight, theta.net.weight)
    assert not np.allclose(found.net.weight, theta.net.weight)


def test_its_terms_can_be_balanced():
    own, theta = causal()
    balance = Balancing("grad_norm", average=0.0)
    state = balance.start(own, theta)
    terms = balance.after(state, own, theta, own.residuals(theta)).terms
    slopes = jax.jacrev(own.terms)(theta).net.weight
    sizes = np.linalg.norm(slopes, axis=1)
    assert_allclose(terms, sizes.mean() / sizes, rtol=1e-4)


def test_the_notice_is_given_once():
    _causal._say.cache_clear()
    own, theta = made()

    def twice():
        for _ in range(2):
            Causal(chunks=2).minimise(own, theta, deadline=Deadline(0.0), key=KEY)

    with pytest.warns(PendulaWarning, match="University of Pennsylvania") as given:
        twice()
    assert [str(w.message) for w in given] == [NOTICE]
    for words in ("patent", "may not be used commercially", "authors' repository"):
        assert words in NOTICE
        assert words in " ".join(str(_causal.__doc__).split())


def test_nothing_depends_on_it():
    """No other module imports it: what is optional stays so."""
    folder = Path(pendula.solutions.__file__).parent.parent
    files = [path for path in folder.rglob("*.py") if path.name != "_causal.py"]
    assert len(files) > 100
    for path in files:
        assert not re.search(r"\b_causal\b", path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Causal(ladder=()), "ladder"),
        (lambda: Causal(ladder=(1.0, 0.1)), "grow"),
        (lambda: Causal(ladder=(1.0, np.nan)), "grow"),
        (lambda: Causal(initial=np.nan), "initial is nan"),
        (lambda: Causal(enough=1.0), r"enough is 1\.0"),
        (lambda: Causal(chunks=0), "chunks is 0"),
        (lambda: Causal(FirstOrder(balance=Balancing("ntk"))), "ntk"),
    ],
)
def test_settings_that_cannot_be_used(make, match):
    with pytest.raises(ConfigError, match=match):
        make()


def test_objectives_it_cannot_be_used_for():
    own, theta = made()
    some = {"deadline": Deadline(0.0), "key": KEY}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendulaWarning)
        with pytest.raises(ConfigError, match="4 points in 5 chunks"):
            Causal(chunks=5).minimise(own, theta, **some)
        without = eqx.tree_at(lambda o: o.known, own, own.known[1:])
        with pytest.raises(ConfigError, match="no equation in time"):
            Causal(chunks=2).minimise(without, theta, **some)
