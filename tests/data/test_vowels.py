"""Vowel tables: files in the forms in which they are handed on, and tasks whose test
talkers were never heard."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError, DataError, ShapeError
from pendula.data import (
    SEVEN_VOWELS,
    Vowels,
    formant_measures,
    read_deterding,
    read_vowels,
    standardised,
    synthetic_vowels,
    vowel_task,
)


HEADING = """(c) somebody

Filenames:
character 1: m=man
 1 2 3
"""
TWELVE = ("ae", "ah", "aw", "eh", "er", "ei", "ih", "iy", "oa", "oo", "uh", "uw")


def table(path, talkers=("m01", "w02", "b03", "g04"), vowels=TWELVE, zero=()):
    """A file in the form of `vowdata.dat`, of numbers that say where they stand."""
    lines = []
    for t, talker in enumerate(talkers):
        for v, vowel in enumerate(vowels):
            cells = [300 + v, 100 + t, *(500 + 50 * t + 7 * v + k for k in range(13))]
            for row, column in zero:
                if row == len(lines):
                    cells[column] = 0
            lines.append(f"{talker}{vowel} " + "  ".join(map(str, cells)) + " ")
    path.write_text(HEADING + "\n".join(lines) + "\n")
    return path


# ------------------------------------------------------------------------------ files


def test_every_column_is_where_the_heading_of_the_table_says(tmp_path):
    vowels = read_vowels(table(tmp_path / "vowdata.dat"))
    assert len(vowels) == 48
    assert vowels.classes == TWELVE
    row = 15  # talker w02, vowel eh
    assert (vowels.talkers[row], vowels.groups[row]) == ("w02", "woman")
    assert vowels.classes[vowels.labels[row]] == "eh"
    wanted = {"duration": 303, "f0": 101, "F1 steady": 571, "F4 steady": 574,
              "F1 20%": 575, "F3 50%": 580, "F3 80%": 583}  # fmt: skip
    for measure, value in wanted.items():
        assert vowels.values[row, vowels.measures.index(measure)] == value


def test_a_zero_is_missing_and_leaves_the_task(tmp_path):
    path = table(tmp_path / "vowdata.dat", zero=[(3, 5), (7, 2), (20, 14)])
    vowels = read_vowels(path)
    assert_array_equal(np.flatnonzero(~vowels.complete), [3, 7, 20])
    assert np.isnan(vowels.values[3, vowels.measures.index("F4 steady")])
    twelve = vowels.columns(formant_measures())
    assert_array_equal(np.flatnonzero(~twelve.complete), [7, 20])  # no F4 in the task
    task = vowel_task(vowels, classes=None, test_share=0.25)
    assert len(task.train) + len(task.test) == 46


def test_files_that_are_not_whole_name_the_line(tmp_path):
    path = table(tmp_path / "vowdata.dat")
    good = path.read_text()
    first = HEADING.count("\n") + 1
    for bad, word in (
        (good.replace("m01ah", "m01zz"), f'line {first + 1}: there is no vowel "zz"'),
        (good.replace("m01ah", "wrong"), f'line {first + 1}: .*"wrong"'),
        (good.replace("m01ah", "m01ah 7"), f"line {first + 1}: it has 16 numbers"),
        (good.replace("m01ah 301", "m01ah 3o1"), 'number 1: "3o1"'),
        (HEADING, "there is no line"),
        ("", "there is no line"),
    ):
        path.write_text(bad)
        with pytest.raises(DataError, match=word):
            read_vowels(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="no text"):
        read_vowels(path)
    with pytest.raises(DataError, match=r"Did you mean \"vowdata.dat\""):
        read_vowels(tmp_path / "vowdata.txt")


def deterding_rows(count, seed):
    rng = np.random.default_rng(seed)
    return np.round(rng.normal(size=(count, 10)), 3), np.arange(count) % 11


def written(tmp_path, form):
    """Both parts in one of the three forms, and what was written."""
    parts = deterding_rows(22, 0), deterding_rows(11, 1)
    text = lambda row: [f"{v:g}" for v in row]
    if form == "context":
        lines = [
            " ".join([str(p), str(8 * p + k % 4), "1", *text(x), str(y)])
            for p, (xs, ys) in enumerate(parts)
            for k, (x, y) in enumerate(zip(xs, ys, strict=True))
        ]
        (tmp_path / "vowel-context.data").write_text("\n".join(lines) + "\n")
        return [tmp_path / "vowel-context.data"], parts
    paths = []
    for p, (xs, ys) in enumerate(parts):
        if form == "commas":
            names = ",".join(f'"x.{k}"' for k in range(1, 11))
            lines = ['"row.names","y",' + names]
            lines += [
                ",".join([str(k + 1), str(y + 1), *text(x)])
                for k, (x, y) in enumerate(zip(xs, ys, strict=True))
            ]
        else:
            lines = [str(len(xs)), "10"]
            lines += [
                " ".join([*text(x), str(y + 1)]) for x, y in zip(xs, ys, strict=True)
            ]
        paths.append(tmp_path / f"vowel.{p}")
        paths[-1].write_text("\n".join(lines) + "\n")
    return paths, parts


@pytest.mark.parametrize("form", ["context", "commas", "counted"])
def test_three_forms_of_deterdings_vowels_are_one(form, tmp_path):
    paths, parts = written(tmp_path, form)
    for found, (xs, ys) in zip(read_deterding(*paths), parts, strict=True):
        assert_allclose(found.values, xs)
        assert_array_equal(found.labels, ys)
        assert len(found.classes) == 11
        assert found.measures[-1] == "x10"
        assert bool(found.talkers) == (form == "context")
    train, test = read_deterding(*paths)
    task = standardised(train, test)
    assert_allclose(task.train.mean(axis=0), 0.0, atol=1e-12)
    assert_allclose(task.train.std(axis=0), 1.0)
    assert task.test.shape == (11, 10)


def test_broken_files_of_deterdings_vowels_are_refused(tmp_path):
    path = tmp_path / "vowel"
    zeros = "0 " * 10
    for text, word in (
        ("", "empty"),
        ("2 0 0 " + zeros + "3", "first column"),
        ("0 0 0 " + zeros + "3", "no line belongs to the test"),
        ("0 0 0 " + zeros, "13 numbers"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=word):
            read_deterding(path)
    for text, word in (
        ("", "empty"),
        ("1\n10\n" + zeros + "12", "a class is 11"),
        ("3\n10\n" + zeros + "1", "here 1, and 10"),
        ("a,b\n1,2", 'no column "x.1"'),
        ("y," + ",".join(f"x.{k}" for k in range(1, 11)), "no rows"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=word):
            read_deterding(path, path)


# ------------------------------------------------------------------------------ tasks


def test_test_talkers_were_never_heard_and_scales_are_of_the_training():
    vowels = synthetic_vowels(20, seed=1)
    task = vowel_task(vowels, test_share=0.25, seed=3)
    assert task.classes == SEVEN_VOWELS
    assert task.train.shape == (15 * 7, 12)
    assert task.test.shape == (5 * 7, 12)
    assert_allclose(task.train.mean(axis=0), 0.0, atol=1e-12)
    assert_allclose(task.train.std(axis=0), 1.0)


def test_no_talker_is_on_both_sides():
    vowels = synthetic_vowels(20, takes=2, seed=1)
    values = vowels.values.copy()
    names = sorted(set(vowels.talkers))
    values[:, 0] = [1.0 + names.index(t) for t in vowels.talkers]  # tells the talker
    marked = Vowels(
        values, vowels.measures, vowels.labels, vowels.classes, vowels.talkers
    )
    heard = set()
    for seed in range(3):
        task = vowel_task(marked, seed=seed)
        train, test = (set(np.round(x[:, 0], 6)) for x in (task.train, task.test))
        assert (len(train), len(test), len(train | test)) == (16, 4, 20)
        again = vowel_task(marked, seed=seed)
        assert_array_equal(task.test, again.test)
        heard.add(tuple(sorted(test)))
    assert len(heard) == 3


def test_groups_and_vowels_are_selected_with_their_labels():
    vowels = synthetic_vowels(8, seed=0)
    women = vowels.select(classes=("uw", "ae"), groups=("woman",))
    assert set(women.groups) == {"woman"}
    assert len(women) == 4
    for label, row in zip(women.labels, women.values, strict=True):
        name = women.classes[label]
        assert (row[1] < 1300.0) == (name == "uw")  # second formant
    assert len(vowels[vowels.labels == 0]) == 8
    assert len(vowels[:3].talkers) == 3


def test_synthetic_vowels_follow_their_law():
    """Without spread every token is the mean track of its vowel, times its talker."""
    vowels = synthetic_vowels(4, spread=0.0, drift=0.0, scale_spread=0.0, seed=0)
    iy = vowels[vowels.labels == vowels.classes.index("iy")].values
    assert_allclose(iy[0], np.tile([270.0, 2290.0, 3010.0], 4))
    assert_allclose(iy[1:] / iy[0], np.repeat([[1.17], [1.32], [1.32]], 12, axis=1))
    wide = synthetic_vowels(400, spread=0.1, drift=0.0, scale_spread=0.0, seed=0)
    men = wide.select(groups=("man",), classes=("iy",)).values[:, 0]
    # standard error of a standard deviation of 100 draws, times 4
    assert_allclose(np.log(men).std(), 0.1, atol=4 * 0.1 / np.sqrt(200))


BAD_TASKS = {
    "no talkers": lambda v: vowel_task(
        Vowels(v.values, v.measures, v.labels, v.classes)
    ),
    "both sides": lambda v: vowel_task(v, test_share=0.01),
    'vowel "ee"': lambda v: vowel_task(v, classes=("ee", "uw")),
    'group "men"': lambda v: vowel_task(v, groups=("men",)),
    'measure "F1 steady"': lambda v: vowel_task(
        Vowels(v.values, tuple("abcdefghijkl"), v.labels, v.classes, v.talkers)
    ),
    'spoke the vowel "ah"': lambda v: vowel_task(
        dataclasses.replace(
            v, values=np.where((v.labels == 1)[:, None], np.nan, v.values)
        )
    ),
    "is left": lambda v: v[v.labels == 0].select(classes=("uw",)),
    "talkers is 0": lambda v: synthetic_vowels(0, takes=2),
    "test_share is nan": lambda v: vowel_task(v, test_share=np.nan),
    "whole numbers": lambda v: Vowels(v.values, v.measures, v.labels + 0.5, v.classes),
    "without a logarithm": lambda v: standardised(
        v, dataclasses.replace(v, values=-v.values), log=True
    ),
    "spread is -1": lambda v: synthetic_vowels(2, spread=-1.0),
    "other measures": lambda v: standardised(v, v.columns(v.measures[:3])),
    "lacks": lambda v: standardised(
        v, Vowels(np.full_like(v.values, np.nan), v.measures, v.labels, v.classes)
    ),
    "empty": lambda v: v[:0],
    "infinity": lambda v: Vowels(np.inf * v.values, v.measures, v.labels, v.classes),
    "labels run": lambda v: Vowels(v.values, v.measures, v.labels + 1, v.classes),
}


@pytest.mark.parametrize("word", BAD_TASKS)
def test_tasks_that_cannot_be_are_refused(word):
    vowels = synthetic_vowels(4, seed=0)
    with pytest.raises((ConfigError, DataError), match=word):
        BAD_TASKS[word](vowels)


def test_tables_that_do_not_fit_are_refused():
    v = synthetic_vowels(2, seed=0)
    for arguments in (
        (v.values[:, :3], v.measures, v.labels, v.classes),
        (v.values, v.measures, v.labels[:3], v.classes),
        (v.values, v.measures, v.labels, v.classes, ("m01",)),
    ):
        with pytest.raises(ShapeError):
            Vowels(*arguments)
