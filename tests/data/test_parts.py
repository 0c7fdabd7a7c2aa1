"""Splits, named sets, worse data on purpose, summaries."""

import json

import jax
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula import _errors as errors
from pendula.data import (
    Trajectories,
    add_noise,
    cache_folder,
    check_uniform,
    drop_samples,
    load,
    named,
    open_data,
    part,
    resample,
    sampling,
    split,
    summary,
    write,
)
from pendula.data._named import NAMED


def make(lengths=(40, 30, 20, 25, 35), ctrl=0):
    ts = [0.1 * np.arange(n) for n in lengths]
    ys = [np.stack([np.sin(t + k), np.cos(t + k)], 1) for k, t in enumerate(ts)]
    us = [np.sin(3 * t)[:, None] for t in ts] if ctrl else None
    return Trajectories.from_arrays(ts, ys, us)


def samples(data):
    return {
        (label, t)
        for label, row, n in zip(data.labels, data.ts, data.lengths, strict=True)
        for t in row[:n]
    }


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(20, 40), min_size=1, max_size=5),
    fraction=st.floats(0.1, 0.9),
    by=st.sampled_from(["auto", "trajectory", "time"]),
    seed=st.integers(0, 99),
)
def test_parts_are_disjoint_and_whole(lengths, fraction, by, seed):
    data = make(tuple(lengths))
    if by == "trajectory" and data.num == 1:
        by = "time"
    train, validation, info = split(data, fraction, by, seed=seed)
    one, two = samples(train), samples(validation)
    assert not one & two
    assert one | two == samples(data)
    again = split(data, fraction, by, seed=seed)
    assert again[2] == info == json.loads(json.dumps(info))
    got = sum(stop - first for _, first, stop in info["train"])
    assert got == train.lengths.sum()
    if info["by"] == "time":
        assert train.num == validation.num == data.num
        assert np.all(train.ts[:, -1] < validation.ts[:, 0])


def test_split_by_trajectory_is_a_fifth():
    train, validation, info = split(make())
    assert (train.num, validation.num, info["by"]) == (4, 1, "trajectory")
    assert "1 of 5 trajectories" in info["text"]
    others = {split(make(), seed=s)[1].labels for s in range(10)}
    assert len(others) > 2


def test_a_record_is_not_on_both_sides():
    data = make((30, 30, 30))
    twice = data.replace(ys=data.ys[[0, 1, 0]], ts=np.add(data.ts, [[0], [0], [7]]))
    held = split(data)[1].labels[0]
    other = "0" if held == "2" else "2"
    assert held != "1"
    with pytest.raises(
        errors.DataError, match=f"{held}, which is held out, is.* {other} ag"
    ):
        split(twice)
    split(twice, by="time")
    hidden = twice.mask.copy()
    hidden[2, 3] = False  # no copy: one of its samples is missing
    split(twice.replace(mask=hidden))


def test_last_fifth_in_time():
    data = make((101,))
    train, validation, info = split(data)
    assert (train.lengths[0], validation.lengths[0]) == (81, 20)
    assert info["text"] == "the last 20 % in time"
    assert info["validation"] == [[0, 81, 101]]
    assert "the last 20 %" in train.origin["history"][-1]


def test_named_parts_survive_cutting():
    parts = {
        "train": {"between": [None, 1.95]},
        "validation": {"between": [1.95, 3.0]},
        "test": {"labels": ["0"], "between": [3.0, None]},
    }
    data = make((40, 40)).replace(origin={"parts": parts})
    train, validation, info = split(data.subsample(2))
    assert info["by"] == "named"
    assert train.ts.max() == pytest.approx(1.8)
    assert validation.ts.min() == pytest.approx(2.0)
    assert part(data, "test").labels == ("0",)
    # cut to the training part, nothing is left of the named validation part
    assert split(data.between(0.0, 1.9))[2]["by"] == "trajectory"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: split(make(), 0.0), "fraction is 0"),
        (lambda: split(make(), 1.0), "fraction is 1"),
        (lambda: split(make(), by="trajectori"), 'Did you mean "trajectory"'),
        (lambda: split(make((30,)), by="trajectory"), "one trajectory cannot"),
        (lambda: split(make((3,))), "at least two"),
        (lambda: split(make(), by="named"), "no samples in named parts"),
        (lambda: part(make(), "test"), 'no part "test". Parts: none'),
        (lambda: add_noise(make(), 0, -1.0), "0 or above"),
        (lambda: drop_samples(make(), 0, 1.0), "0 to below 1"),
        (lambda: resample(make(), 0.0), "must be positive"),
        (lambda: resample(make((5,)), 9.0), "lasts 0.4, less than the step 9"),
        (lambda: load("multiarm_pendulum/singel"), 'Did you mean "multiarm_pendulum'),
        (lambda: open_data("silverbx"), 'Did you mean "silverbox"'),
        (lambda: open_data("nowhere.csv"), "no such file"),
    ],
)
def test_bad_calls(call, sentence):
    with pytest.raises(errors.PendulaError, match=sentence):
        call()


def test_noise_is_recorded_and_reproducible(key):
    data = make((4000,))
    noisy = data.add_noise(3, 0.1)
    ratio = (noisy.ys - data.ys)[0].std(axis=0) / data.ys[0].std(axis=0)
    np.testing.assert_allclose(ratio, 0.1, rtol=0.1)
    assert noisy.origin["history"] == ["noise 0.1 of each channel's spread, seed 3"]
    np.testing.assert_array_equal(add_noise(data, 3, 0.1).ys, noisy.ys)
    assert np.any(add_noise(data, 4, 0.1).ys != noisy.ys)
    one, two = (add_noise(data, k, 0.2, absolute=True) for k in (key, key))
    np.testing.assert_array_equal(one.ys, two.ys)
    other = add_noise(data, jax.random.fold_in(key, 1), 0.2, absolute=True)
    assert np.any(other.ys != one.ys)
    gaps = Trajectories.from_arrays([0.0, 1, 2], [1.0, np.nan, 3])
    assert add_noise(gaps, 0, 1.0).ys[0, 1, 0] == 0


def test_dropped_samples():
    data = make((100, 60))
    less = data.drop_samples(0, 0.3)
    np.testing.assert_array_equal(less.lengths, [70, 42])
    assert samples(less) <= samples(data)
    np.testing.assert_array_equal(less.ts[:, 0], data.ts[:, 0])
    driven = make((100,), ctrl=1).drop_samples(0, 0.3)
    assert driven.lengths[0] == 100
    assert driven.mask[0, :, 0].sum() == 70
    np.testing.assert_array_equal(
        drop_samples(data, 0, 0.3, keep_grid=True).ts, data.ts
    )


def test_resampling():
    rng = np.random.default_rng(0)
    t = np.sort(np.concatenate([[0, 10], rng.uniform(0, 10, 400)]))
    cubic = np.polynomial.Polynomial([1, -2, 0.3, 0.02])
    data = Trajectories.from_arrays(t, cubic(t), np.sin(t)[:, None])
    with pytest.raises(errors.DataError, match=r"sample 1: the step is .*Resample"):
        check_uniform(data)
    even = resample(data, 0.05)
    assert check_uniform(even) == pytest.approx(0.05)
    there = even.mask[0, :, 0]
    assert there.mean() > 0.8
    np.testing.assert_allclose(
        even.ys[0, there, 0], cubic(even.ts[0, there]), rtol=1e-9
    )
    np.testing.assert_allclose(even.us[0, :, 0], np.sin(even.ts[0]), atol=1e-3)
    assert check_uniform(make()) == pytest.approx(0.1)


def test_gaps_stay_gaps():
    t = np.concatenate([np.arange(0, 5, 0.1), np.arange(8, 12, 0.1)])
    even = resample(Trajectories.from_arrays(t, np.sin(t)), 0.1)
    hole = (even.ts[0] > 4.95) & (even.ts[0] < 7.95)
    assert not even.mask[0, hole].any()
    assert even.mask[0, ~hole].all()
    found = sampling(Trajectories.from_arrays(t, np.sin(t)))
    assert found["num_gaps"] == 1
    assert found["gaps"][0]["length"] == pytest.approx(3.1)
    assert not found["even"]
    assert sampling(make())["even"]


def test_summary_is_json():
    t = np.linspace(0, 20, 400)
    y = np.stack([np.sin(t), np.cos(t), 0 * t + 2], 1)
    y[5:9, 0] = np.nan
    data = Trajectories.from_arrays(
        t,
        y,
        np.sin(t)[:, None],
        names=("q", "v", "c"),
        units=("m", "m/s", ""),
        origin={"system": "test"},
    ).add_noise(0, 0.01, absolute=True)
    told = json.loads(json.dumps(summary(data), allow_nan=False))
    assert told["lengths"] == [400, 400, 400]
    q, v, c = told["channels"]
    assert (q["unit"], q["missing"], q["kind"], q["partner"]) == (
        "m",
        4,
        "position",
        "v",
    )
    assert q["noise"] == pytest.approx(0.01, rel=0.2)
    assert v["period"] == pytest.approx(2 * np.pi, rel=0.02)
    assert c["period"] is None
    assert not c["constant"]
    assert told["inputs"][0]["range"][1] == pytest.approx(1, rel=0.01)
    assert any("no licence" in note for note in told["warnings"])
    assert told["decisions"][-1]["what"] == "order"
    still = summary(Trajectories.from_arrays(t, y[:, 2]))
    assert still["channels"][0]["constant"]
    assert any("is constant (2)" in note for note in still["warnings"])


def test_open_data_prefers_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(make((10,)), tmp_path / "a.csv")
    assert open_data("a.csv").lengths[0] == 10
    assert open_data([tmp_path / "a.csv"]).num == 1


def test_absent_set_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.setenv("PENDULA_DATA", str(tmp_path / "here"))
    monkeypatch.setenv("PENDULA_CACHE_DIR", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"
    assert not any(record["present"] for record in named())
    with pytest.raises(errors.DataError, match=r"not here.*set PENDULA_DATA") as caught:
        load("silverbox")
    assert str(tmp_path / "here") in str(caught.value)
    monkeypatch.delenv("PENDULA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder().name == "pendula"


@pytest.mark.parametrize("below", ["", "real", "cache"])
def test_sets_are_found_and_licence_needs_a_readme(tmp_path, monkeypatch, below):
    root = tmp_path / ("data" if below == "cache" else below)
    folder = root / "hare_lynx"
    folder.mkdir(parents=True)
    rows = [f"{1845 + k},{1000 + 7 * k * k},{500 - k}" for k in range(90)]
    (folder / "hare_lynx.csv").write_text("\n".join(["year,hare,lynx", *rows]))
    monkeypatch.delenv("PENDULA_DATA", raising=False)
    place = "PENDULA_CACHE_DIR" if below == "cache" else "PENDULA_DATA"
    monkeypatch.setenv(place, str(tmp_path))
    data = load("hare_lynx")
    assert data.licence is None
    assert any("no licence" in note for note in summary(data)["warnings"])
    (folder / "README.md").write_text("public domain")
    assert open_data("hare_lynx").licence == "public domain"
    assert (data.time_unit, data.units) == ("yr", ("pelts", "pelts"))
    train, validation, info = split(data)
    assert info["by"] == "named"
    assert (train.ts.max(), validation.ts.max()) == (1889, 1904)
    assert part(data, "test").lengths[0] == 30


def test_all_sets_that_are_there(data_dir):
    """Every set of motions loads without a warning; its named parts are disjoint."""
    present = [r for r in named() if r["present"] and r["kind"] == "motions"]
    assert len(present) >= 10
    for record in present:
        if record["name"].split("/")[0] in ("ibm_double_pendulum",):
            continue  # large; the same code as the others
        data = load(record["name"])
        assert data.licence
        assert data.origin["citation"]
        assert all(data.units) or not NAMED[record["name"]].options.get("units")
        held = [
            samples(part(data, p))
            for p in ("train", "validation")
            if p in parts_of(data)
        ]
        if len(held) == 2:
            assert not held[0] & held[1]


def parts_of(data):
    return data.origin["parts"]


def test_pendulum_part_is_the_authors(data_dir):
    """The named cut is where the file's validation column turns."""
    data = load("multiarm_pendulum/single")
    flag = load(
        "multiarm_pendulum/single", channels=("theta1", "omega1", "validation")
    ).ys[0, :, 2]
    train, validation, _ = split(data)
    assert train.lengths[0] == int(np.argmax(flag))
    assert validation.lengths[0] == int(flag.sum())
    assert data.angle == (True,)
    assert data.origin["zero"] == {"theta1": np.pi}


def test_silverbox_parts_are_the_usual_slices(data_dir):
    data = load("silverbox")
    y = data.ys[0, :, 0]
    arrow = part(data, "test_arrow")
    np.testing.assert_array_equal(arrow.ys[0, :, 0], y[100:40575])
    np.testing.assert_array_equal(
        part(data, "test_arrow_32000").ys[0, :, 0], y[100:32100]
    )
    multisine = part(data, "test_multisine")
    np.testing.assert_array_equal(multisine.ys[0, :, 0], y[105712:127400])
    train, validation, _ = split(data)
    np.testing.assert_array_equal(train.ys[0, :, 0], y[40650:92700])
    np.testing.assert_array_equal(validation.ys[0, :, 0], y[92700:105712])
    assert data.origin["score_from"] == 50


def test_families_know_their_systems(data_dir):
    arms = load("dfki_double_pendulum")
    assert arms.env.tolist() == [0] * 6 + [1] * 7 + [2] * 6
    np.testing.assert_array_equal(arms.params[7], [0.2, 0.3, 0.642, 0.564])
    balls = load("ball_drops")
    np.testing.assert_array_equal(balls.env, np.repeat(np.arange(11), 2))
    assert balls.labels[:2] == ("baseball/1", "baseball/2")


def test_times_that_are_kept_too_coarsely_are_told():
    t = 1e-4 * np.arange(50.0)
    for start, lost in ((0.0, False), (1.7e9, True)):
        notes = summary(Trajectories.from_arrays(start + t, np.sin(900 * t)))[
            "warnings"
        ]
        assert any("2.4e-07 are lost in them" in note for note in notes) == lost
