"""Settings: they survive a file, and what cannot be used is refused before any work."""

import dataclasses
import tomllib

import numpy as np
import pytest

import pendula.dynamics._trainer as trainer_module
from pendula._errors import ConfigError
from pendula.data import Trajectories
from pendula.dynamics import (
    FitConfig,
    Known,
    KnownConfig,
    Model,
    ModelConfig,
    SecondOrder,
    TrainConfig,
    fit,
    from_dict,
    to_dict,
)


FULL = {
    "seed": 7,
    "every": 2,
    "validation": 0.3,
    "dtype": "float64",
    "model": {
        "learn": "force",
        "priors": ["bounded"],
        "bounds": [-1, 2.5],
        "known": [
            {"term": "spring", "on": ["q"], "free": ["k"], "constants": {"k": 4}},
            {"term": "viscous", "constants": {"c": 0.1}},
        ],
        "rest": [0.5],
        "width": 8,
    },
    "train": {"clips": [4, 8], "lr": 1, "refit": False},
}


def test_round_trip():
    config = from_dict(FULL)
    assert config.model.known[0] == KnownConfig("spring", ("q",), ("k",), {"k": 4.0})
    assert config.model.bounds == (-1.0, 2.5)
    assert config.train.clips == (4, 8)
    assert type(config.train.lr) is float
    assert from_dict(to_dict(config)) == config
    assert from_dict(to_dict(FitConfig())) == FitConfig()
    assert from_dict({}) == FitConfig()


def test_plain_tables_hold_nothing_that_toml_lacks():
    def walk(value):
        if isinstance(value, dict):
            return all(isinstance(k, str) and walk(v) for k, v in value.items())
        if isinstance(value, list):
            return all(walk(v) for v in value)
        return isinstance(value, str | int | float | bool)

    assert walk(to_dict(from_dict(FULL)))


def test_a_single_word_stands_for_a_list_of_one():
    config = from_dict({"model": {"priors": "odd"}})
    assert config.model.priors == ("odd",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modle.width = 3", 'unknown setting modle. Did you mean "model"?'),
        ("model.widht = 3", 'unknown setting model.widht. Did you mean "width"?'),
        ("model = 3", "model must be a table"),
        ('model.width = "3"', "model.width is '3'; expected a whole number"),
        ("model.width = 3.0", "model.width is 3.0; expected a whole number"),
        ("model.width = true", "model.width is True; expected a whole number"),
        ("train.refit = 1", "train.refit is 1; expected true or false"),
        ("model.learn = 1", "model.learn is 1; expected a text. Write it in quotes"),
        ('train.lr = "fast"', "train.lr is 'fast'; expected a number"),
        ('train.clips = ["a"]', "train.clips is 'a'; expected a whole number"),
        ("model.known = 3", "model.known must be a list of tables"),
        ("model.known = {term = 'spring'}", "model.known must be a list of tables"),
        ("model.known = [{on = 'q'}]", "model.known[0] needs term"),
        (
            "model.known = [{term = 'spring', constants = 3}]",
            "model.known[0].constants must be a table of numbers",
        ),
        (
            "model.known = [{term = 'spring', constants = {k = 'x'}}]",
            "model.known[0].constants.k is 'x'; expected a number",
        ),
    ],
)
def test_unknown_keys_and_wrong_types(text, words):
    with pytest.raises(ConfigError) as found:
        from_dict(tomllib.loads(text))
    assert words in str(found.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'model.learn = "forces"',
            'model.learn "forces" is unknown. Did you mean "force"?',
        ),
        ('model.order = "third"', 'model.order "third" is unknown'),
        ('model.priors = ["od"]', 'model.priors "od" is unknown. Did you mean "odd"?'),
        ('model.activation = "tan"', 'Did you mean "tanh"?'),
        ('model.scheme = "rk5"', 'Did you mean "rk4"?'),
        ('train.method = "sgd"', 'train.method "sgd" is unknown'),
        ('train.start = "fixed"', 'train.start "fixed" is unknown'),
        ('dtype = "float16"', 'dtype "float16" is unknown'),
        ("model.width = 0", "model.width is 0; it must be above 0"),
        ("model.width = -4", "model.width is -4; it must be above 0"),
        ("train.members = 0", "train.members is 0; it must be above 0"),
        ("train.lr = -1e-3", "train.lr is -0.001; it must be above 0"),
        ("train.lr = nan", "train.lr is nan; it must be above 0"),
        ("train.minutes = 0.0", "train.minutes is 0.0; it must be above 0"),
        ("model.precision = nan", "model.precision is nan; it must be at least 0"),
        ("train.window = -1.0", "train.window is -1.0; it must be at least 0"),
        ("seed = -1", "seed is -1; it must be at least 0"),
        ("every = -1", "every is -1; it must be at least 0"),
        ("validation = 1.0", "validation is 1.0; it must lie between 0 and 0.9"),
        ("validation = 0.0", "validation is 0.0; it must lie between 0 and 0.9"),
        ("train.clips = []", "every clip needs at least 2 samples"),
        ("train.clips = [8, 1]", "every clip needs at least 2 samples"),
        ('model.priors = ["bounded"]', "bounded and its two bounds come together"),
        ("model.bounds = [0.0, 1.0]", "bounded and its two bounds come together"),
        (
            'model.priors = ["bounded"]\nmodel.bounds = [1.0, 0.0]',
            "expected the lowest and the highest value",
        ),
    ],
)
def test_values_that_cannot_be_used(text, words):
    with pytest.raises(ConfigError) as found:
        from_dict(tomllib.loads(text))
    assert words in str(found.value)


@pytest.fixture(scope="module")
def data():
    """A position q and a level z of first order, nothing else."""
    ts = np.linspace(0.0, 8.0, 81)
    return Trajectories.from_arrays(
        ts,
        np.stack([np.sin(3 * ts), np.exp(-0.3 * ts)], axis=1),
        names=("q", "z"),
    )


@pytest.fixture
def no_training(monkeypatch):
    """Any training, that is any compilation, fails the test."""

    def trained(*args, **kwargs):
        raise AssertionError("a training began")

    monkeypatch.setattr(trainer_module, "run", trained)


def model_of(**settings):
    return from_dict({"model": settings})


SPRING = {"term": "spring", "on": ["q"], "free": ["k"]}


@pytest.mark.parametrize(
    ("settings", "channels", "words"),
    [
        ({"learn": "none"}, "q", "the model is empty"),
        (
            {"learn": "none", "known": [{"term": "spring", "constants": {"k": 4.0}}]},
            "q",
            "there is nothing to find",
        ),
        ({"learn": "energy", "order": "first"}, "q", "needs second-order channels"),
        (
            {"known": [SPRING], "order": "first"},
            "q",
            'the known law "spring" acts on accelerations',
        ),
        ({"known": [{**SPRING, "on": ["p"]}]}, "q", 'to act on "p", which is not a'),
        ({"known": [{**SPRING, "on": ["q", "q"]}]}, "q", "acts on one channel"),
        ({"known": [{"term": "sprong"}]}, "q", 'unknown law "sprong". Did you mean'),
        ({"known": [{**SPRING, "free": ["c"]}]}, "q", 'has no constant "c"'),
        ({"known": [{"term": "spring"}]}, "q", 'constant "k" has no value'),
        (
            {"known": [{"term": "viscous", "constants": {"c": -1.0}}]},
            "q",
            "c is -1; it must be > 0",
        ),
        (
            {"known": [{"term": "input", "free": ["b"]}]},
            "q",
            'the known law "input" needs an input; the data have none',
        ),
        ({"learn": "friction", "priors": ["odd"]}, "q", 'a learned "friction"'),
        ({"learn": "energy", "priors": ["positive"]}, "q", 'a learned "energy"'),
        (
            {"order": "first", "priors": ["potential"]},
            "q",
            'learn "energy" needs second-order channels',
        ),
        ({"priors": ["positive", "odd"]}, "q", "exclude each other"),
        ({"rest": [0.0, 1.0]}, "q", "model.rest has 2 values; expected one for each"),
        ({"learn": "energy"}, "qz", 'channel "z" is of first order'),
        ({"order": "first", "scheme": "leapfrog"}, "q", 'model.scheme is "leapfrog"'),
        ({"scheme": "yoshida4"}, "qz", 'model.scheme is "yoshida4"'),
    ],
)
def test_models_that_make_no_sense_are_refused_before_any_training(
    data, no_training, settings, channels, words
):
    order = {"order": "second"} if channels == "q" else {}
    with pytest.raises(ConfigError) as found:
        fit(None, data.channels(list(channels)), model_of(**{**order, **settings}))
    assert words in str(found.value)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Model(Known("spring", free=("k",)), (0,), 1), "has a state of size 1"),
        (Model(SecondOrder(Known("spring", k=1.0), 1), (0,), 2), "has nothing to find"),
        (
            Model(SecondOrder(Known("spring", free=("k",)), 1), (1,), 2),
            "with [0] observed",
        ),
    ],
)
def test_a_model_of_ones_own_must_fit_the_data(data, no_training, model, words):
    config = FitConfig(ModelConfig(order="second"))
    with pytest.raises(ConfigError) as found:
        fit(model, data.channels("q"), config)
    assert words in str(found.value)


def test_resume_needs_a_folder(data, no_training):
    with pytest.raises(ConfigError, match="resume needs the run folder"):
        fit(None, data, FitConfig(), resume=True)


def test_thinning_with_inputs_is_refused(no_training):
    ts = np.linspace(0.0, 4.0, 41)
    driven = Trajectories.from_arrays(ts, np.sin(ts)[:, None], np.cos(ts)[:, None])
    with pytest.raises(ConfigError, match="every is 3, but the data have inputs"):
        fit(None, driven, FitConfig(every=3))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"observed": (2,)}, r"observed entries \[2\] do not fit a state of size 2"),
        ({"observed": ()}, r"observed entries \[\] do not fit"),
        ({"substeps": 0}, "substeps is 0; it must be at least 1"),
        ({"scheme": "rk7"}, 'Did you mean "rk4"'),
    ],
)
def test_models_that_cannot_run(wrong, words):
    settings = {"observed": (0,), "dim": 2, **wrong}
    with pytest.raises(ConfigError, match=words):
        Model(SecondOrder(Known("spring", k=1.0), 1), **settings)


def test_every_setting_has_a_docstring():
    """Below each field stands what it means (they are the reference of settings)."""
    import ast
    import inspect

    from pendula.dynamics import _config

    tree = ast.parse(inspect.getsource(_config))
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or node.name == "FitConfig":
            continue
        body = [n for n in node.body if not isinstance(n, ast.FunctionDef)][1:]
        for field, text in zip(body[::2], body[1::2], strict=True):
            assert isinstance(field, ast.AnnAssign)
            assert isinstance(text.value, ast.Constant), field.target.id
    assert dataclasses.is_dataclass(TrainConfig)
