"""Studies run row by row: done rows stay, a kill loses one row, files are whole."""

import json

import numpy as np
import pytest

from pendula._errors import ConfigError, DataError
from pendula.studies import (
    Claim,
    NotHere,
    Row,
    Study,
    claims_table,
    docs_pages,
    read_claims,
    reproduce,
    studies,
    write_docs,
)
from pendula.studies._catalogue import select
from pendula.studies._ledger import Ledger
from pendula.studies._reproduce import run_parts


ROWS = (
    Row("toy.sums.one", "One number.", target=1, better="equal"),
    Row("toy.sums.two", "Another, with a | in it.", "s", target=1.0, tried="Twice."),
    Row("toy.sums.three", "A third.", "mm"),
)


class Toy:
    """A study whose part counts how often each row was measured."""

    def __init__(self, settings=None, stop_before=None):
        self.measured, self.kept, self.told = [], 0, []
        self.stop_before = stop_before
        self.study = Study("toy", "A toy.")
        settings = settings or {"size": 3}
        self.study.part("sums", ROWS, full=settings, quick={"size": 1})(self.sums)

    def sums(self, run):
        for row, value in zip(ROWS, (1, 2.0, 3), strict=True):
            if self.stop_before == row.id:
                raise KeyboardInterrupt
            if not run.wants(row.id):
                continue
            stored = run.keep(row.id, lambda value=value: self.compute(value))
            self.measured.append(row.id)
            yield run.row(row.id).measured(stored["value"].item())

    def compute(self, value):
        self.kept += 1
        return {"value": value}

    def run(self, folder, budget="full", **options):
        return run_parts(
            self.study,
            list(self.study.parts.values()),
            folder / "results",
            budget,
            scratch=folder / "scratch",
            progress=self.told.append,
            **options,
        )


def _file(folder):
    return json.loads((folder / "results/toy/claims.json").read_text())


def test_rows_are_written_with_their_stamps(tmp_path):
    claims = Toy().run(tmp_path)
    assert [c.id for c in claims] == [row.id for row in ROWS]
    assert [c.met for c in claims] == [True, False, None]
    body = _file(tmp_path)
    assert (body["study"], body["budget"]) == ("toy", "full")
    assert body["versions"]["jax"]
    row = body["claims"][1]
    assert row["reason"] == "Twice."
    assert row["budget"] == "full"
    assert row["seconds"] >= 0
    assert row["machine"] == body["machine"]
    assert len(row["config"]) == 12


def test_done_rows_are_left_alone(tmp_path):
    Toy().run(tmp_path)
    before = _file(tmp_path)
    second = Toy()
    assert len(second.run(tmp_path)) == 3
    assert second.measured == []
    assert second.told[-1] == "toy.sums: done already"
    assert _file(tmp_path) == before


def test_again_measures_again(tmp_path):
    Toy().run(tmp_path)
    second = Toy()
    second.run(tmp_path, again=True)
    assert second.measured == [row.id for row in ROWS]
    assert second.kept == 3


def test_other_settings_measure_again(tmp_path):
    Toy().run(tmp_path)
    second = Toy(settings={"size": 4})
    second.run(tmp_path)
    assert len(second.measured) == 3


def test_a_killed_study_goes_on_where_it_stopped(tmp_path):
    first = Toy(stop_before="toy.sums.two")
    with pytest.raises(KeyboardInterrupt):
        first.run(tmp_path)
    assert [row["id"] for row in _file(tmp_path)["claims"]] == ["toy.sums.one"]
    second = Toy()
    claims = second.run(tmp_path)
    assert second.measured == ["toy.sums.two", "toy.sums.three"]
    assert len(claims) == 3


def test_an_expensive_step_outlives_a_kill(tmp_path):
    first = Toy()

    def killed(run):
        run.keep("toy.sums.one", lambda: first.compute(1))
        raise KeyboardInterrupt
        yield

    part = first.study.parts["sums"]
    object.__setattr__(part, "measure", killed)
    with pytest.raises(KeyboardInterrupt):
        first.run(tmp_path)
    second = Toy()
    second.run(tmp_path)
    assert second.kept == 2


def test_what_is_not_here_is_said(tmp_path):
    toy = Toy()

    def absent(run):
        yield run.row("toy.sums.one").measured(1)
        raise NotHere("the data are not on this machine")

    object.__setattr__(toy.study.parts["sums"], "measure", absent)
    claims = toy.run(tmp_path)
    assert [c.kind for c in claims] == ["target", "not_run", "not_run"]
    assert claims[1].reason == "the data are not on this machine"
    assert claims[1].target == 1.0
    # with the data there the rows are measured; without them again they stay
    Toy().run(tmp_path)
    again = Toy(settings={"size": 9})
    object.__setattr__(again.study.parts["sums"], "measure", absent)
    assert [c.kind for c in again.run(tmp_path)] == ["target", "target", "report"]


def test_rows_outside_the_table_and_missing_ones_are_refused(tmp_path):
    toy = Toy()
    part = toy.study.parts["sums"]
    object.__setattr__(
        part, "measure", lambda run: iter([Row("toy.sums.x", "X.").measured(1)])
    )
    with pytest.raises(ConfigError, match=r"gave the row toy\.sums\.x, not in its"):
        toy.run(tmp_path)
    object.__setattr__(part, "measure", lambda run: iter([ROWS[0].measured(1)]))
    with pytest.raises(ConfigError, match=r"ended without its row toy\.sums\.three"):
        toy.run(tmp_path)


def test_a_row_that_left_the_table_leaves_the_file(tmp_path):
    Toy().run(tmp_path)
    ledger = Ledger(tmp_path / "results/toy", "toy", "full")
    ledger.put(Claim("toy.old.row", "Old.", 1.0))
    Toy().run(tmp_path)
    assert {row["id"] for row in _file(tmp_path)["claims"]} == {r.id for r in ROWS}


def test_tables_are_checked_when_they_are_made():
    toy = Study("toy", "A toy.")
    with pytest.raises(ConfigError, match=r'must start with "toy\."'):
        toy.part("a", [Row("other.a.b", "B.")], full={}, quick={})
    toy.part("a", [Row("toy.a.b", "B.")], full={}, quick={})(lambda run: iter(()))
    with pytest.raises(ConfigError, match="stands twice"):
        toy.part("b", [Row("toy.a.b", "B.")], full={}, quick={})


def test_a_results_file_of_another_kind_is_refused(tmp_path):
    Toy().run(tmp_path)
    with pytest.raises(DataError, match='belongs to budget "full", not "quick"'):
        Toy().run(tmp_path, budget="quick")
    path = tmp_path / "results/toy/claims.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(DataError, match="is not a claims file"):
        Toy().run(tmp_path)
    path.write_text('{"claims": []}')
    with pytest.raises(DataError, match="needs budget, claims, study"):
        Toy().run(tmp_path)


def test_names_and_budgets_are_checked():
    with pytest.raises(
        ConfigError, match=r'unknown study "spin"\. Did you mean "spine"'
    ):
        reproduce("spin")
    with pytest.raises(ConfigError, match=r'no part "hlp"\. Did you mean "help"\?'):
        reproduce("spine.hlp")
    with pytest.raises(ConfigError, match=r'budget "ful" is unknown\. Did you mean'):
        reproduce("spine.help", "ful")


def test_pages_take_away_only_their_own(tmp_path):
    """A study that is no more loses its page; what somebody wrote beside stays."""
    beside = tmp_path / "notes"
    beside.mkdir()
    (beside / "gone.md").write_text("# Claims: gone\n", encoding="utf-8")
    (beside / "mine.md").write_text("# Mine\n", encoding="utf-8")
    Toy().run(tmp_path)
    path = write_docs(tmp_path / "results", tmp_path / "notes.md")
    assert {p.name for p in beside.iterdir()} == {"mine.md", "toy.md"}
    assert "[toy](notes/toy.md)" in path.read_text(encoding="utf-8")
    assert "[claims](../notes.md)" in (beside / "toy.md").read_text(encoding="utf-8")


def test_the_page_says_what_the_files_say(tmp_path):
    folder = tmp_path / "results"
    assert "No study has been run yet." in docs_pages(folder)["claims.md"]
    Toy().run(tmp_path)
    pages = docs_pages(folder)
    assert list(pages) == ["claims.md", "claims/toy.md"]
    text = pages["claims/toy.md"]
    assert "`pendula reproduce toy`: 1 of 2 targets met." in text
    assert "| `toy.sums.one` | One number. | 1 | = 1 |  | yes | ours |" in text
    assert "| Another, with a \\| in it. | 2 s | <= 1 |  | **no** | ours |" in text
    assert "- `toy.sums.two`: Twice." in text
    assert "| [toy](claims/toy.md) | 1 | 1 | 1 | 0 |" in pages["claims.md"]
    missed = (
        "- `toy.sums.two`: Another, with a | in it. Measured: 2 s; asked: <= 1. Twice."
    )
    assert missed in pages["claims.md"].splitlines()
    assert pages == docs_pages(folder)
    rows = claims_table(folder)
    assert [row["met"] for row in rows] == [True, False, None]
    assert list(read_claims(folder)) == ["toy"]


def test_every_study_has_a_table_of_its_own():
    found = studies()
    first = {"spine", "real_data", "families", "slinky"}
    later = {"continuity", "depth", "curvature", "pinns", "sequences", "robustness"}
    later |= {"latent", "wake", "analog", "flat_minima", "physical"}
    assert set(found) == first | later
    for name, one in found.items():
        assert one.about.endswith(".")
        for part in one.parts.values():
            assert part.config("full") != part.config("quick")
            for row in part.rows:
                claim = row.not_run("not here")
                assert claim.id.startswith(f"{name}.")
                assert claim.statement.endswith(".")
                assert row.target is None or row.tried
    assert [p.name for _, parts in select("all") for p in parts] == [
        *["resume", "install", "demo", "test", "help", "formats"],
        *["energy_drift", "vs_torchdiffeq"],
        *["multiarm", "multiarm_settings", "ibm", "multiarm_double", "silverbox"],
        *["dfki", "chaos", "hare_lynx", "chemostat", "vs_pysindy"],
        *["pendulum", "bistable", "van_der_pol", "lotka", "first_order"],
        *["selkov", "glycolytic", "reading"],
        "kpp",
        *["dimension", "rod", "next_experiment"],
        *["adaptation", "instances", "inputs"],
        *["reference", "vs_torch"],
        *["cross"],
        *["gd_pendulum", "hyper", "balls", "builds", "links", "chemostats"],
        *["rivals", "selkov_time"],
        *["statics", "motion", "drops", "speed"],
        *["esnn", "ablations", "recipes", "schedule", "imode", "rivals"],
        *["trust", "contact"],
        *["network_speed", "chain", "coupling", "recordings", "calibrate", "law"],
        *["rings", "homogenised", "learned_bars"],
        *[
            "exact",
            "oscillator",
            "pendulum",
            "lotka_volterra",
            "cartesian",
            "double_gyre",
            "damped",
            "substeps",
            "speed",
        ],
        *["exact", "settings", "mnist", "dip", "dip_batch", "dip_published"],
        *["cifar", "cifar_2", "cifar_8", "cifar_8_long", "cifar_16"],
        *["cifar100", "tiny_imagenet"],
        *["extras", "speed"],
        *["quadratic", "networks", "kernel", "convection", "speed"],
        *[
            "A1",
            "A2_convection",
            "A2_rd",
            "A2_reaction",
            "A2_curriculum",
            "A2_convection_curriculum",
            "A3",
            "A5",
            "A4",
            "landscapes",
            "residual_weight",
            "inverse",
            "A7",
            "A8",
            "waves",
            "family",
        ],
        *["exact", "adding", "fhn", "gradients", "ecg", "mnist", "cde", "ou"],
        *[
            "silverbox",
            "dfki",
            "speed",
            "smnist",
            "noisy_cifar",
            "adding_2000",
            "absent",
        ],
        "heartbeats",
        *["grid", "periodic", "steady", "family", "speed"],
        *["lyapunov", "koopman", "pendulums", "sst", "sensors", "bodies"],
        "autoencoder",
        *["mnist", "devices", "range", "dynamics", "esnn", "equal"],
        *["speed", "cifar"],
        *["theory", "picture", "order", "second_order"],
        *["aware", "local", "reservoir", "vowels", "equilibrium", "quantised"],
    ]


def test_the_issue_s_rows_are_there():
    """Ids and targets that were asked for."""
    rows = {row.id: row for one in studies().values() for row in one.rows}
    asked = {
        "real_data.multiarm.hybrid20_rmse_20_36": (0.012, 0.006),
        "real_data.multiarm.hybrid20_rmse_36_55": (0.05, 0.03),
        "real_data.multiarm.hybrid20_cover": (0.8, None),
        "real_data.multiarm.hybrid10_rmse_10_36": (0.04, None),
        "real_data.multiarm.hybrid10_rmse_36_55": (0.05, None),
        "real_data.multiarm.hybrid5_rmse_5_36": (0.10, None),
        "real_data.multiarm.hybrid5_rmse_36_55": (0.12, None),
        "real_data.multiarm.flags_damping": (1, None),
        "real_data.multiarm.node20_rmse_20_36": (0.12, None),
        "real_data.multiarm.node20_rmse_36_55": (0.289, None),
        "real_data.silverbox.multisine_mv": (0.30, None),
        "real_data.silverbox.arrow32k_mv": (0.30, None),
        "real_data.silverbox.arrow_mv": (0.40, None),
        "spine.resume": (3, None),
        "spine.demo_seconds": (300, None),
        "spine.test_seconds": (200, None),
        "spine.install_seconds": (None, None),
        "spine.install_mb": (None, None),
        "spine.help_seconds": (0.5, None),
        "spine.formats": (7, None),
        "spine.energy_drift": (0.01, None),
        "real_data.ibm.valid_time_ratio": (1.0, None),
        "real_data.dfki.rmse2s_ratio": (1, None),
        "real_data.hare_lynx.crps30": (0.60, None),
        "real_data.hare_lynx.logscore30": (-1.50, None),
        "real_data.chemostat.crps90": (0.32, 0.27),
        "real_data.chemostat.logscore90": (-0.80, None),
        "real_data.chemostat.crps1": (0.16, None),
        "real_data.vs_pysindy.multiarm": (1, None),
        "spine.vs_torchdiffeq.step": (3, 10),
        "spine.vs_torchdiffeq.fit": (1.5, 3),
    }
    found = {key: (rows[key].target, rows[key].goal) for key in asked}
    assert found == asked
    upward = {key for key in asked if rows[key].better == "higher"}
    assert upward == {
        "real_data.multiarm.hybrid20_cover",
        "spine.vs_torchdiffeq.step",
        "spine.vs_torchdiffeq.fit",
        "real_data.ibm.valid_time_ratio",
        "real_data.hare_lynx.logscore30",
        "real_data.chemostat.logscore90",
    }


def test_kept_arrays_are_plain_numbers(tmp_path):
    toy = Toy()
    found = {}

    def arrays(run):
        found.update(run.keep("step", lambda: {"a": np.arange(3.0), "b": 2}))
        for row in ROWS:
            yield run.row(row.id).measured(1.0)

    object.__setattr__(toy.study.parts["sums"], "measure", arrays)
    toy.run(tmp_path)
    assert found["a"].tolist() == [0, 1, 2]
    assert found["b"] == 2


def test_a_row_s_name_is_checked(tmp_path):
    toy = Toy()

    def wrong(run):
        yield run.row("toy.sums.ones").measured(1.0)

    object.__setattr__(toy.study.parts["sums"], "measure", wrong)
    with pytest.raises(ConfigError, match=r'Did you mean "toy\.sums\.one"'):
        toy.run(tmp_path)


def test_parts_that_run_beside_each_other_keep_each_other_s_rows(tmp_path):
    one = Ledger(tmp_path / "toy", "toy", "full")
    other = Ledger(tmp_path / "toy", "toy", "full")
    one.put(Claim("toy.a.one", "One.", 1.0))
    other.put(Claim("toy.b.two", "Two.", 2.0))
    one.put(Claim("toy.a.three", "Three.", 3.0))
    found = [claim.id for claim in read_claims(tmp_path)["toy"]]
    assert found == ["toy.a.one", "toy.a.three", "toy.b.two"]


def test_seconds_before_a_kill_count(tmp_path):
    toy = Toy()

    def slow(run):
        run.keep("step", lambda: {"value": 1})
        for row in ROWS:
            yield run.row(row.id).measured(1.0)

    object.__setattr__(toy.study.parts["sums"], "measure", slow)
    toy.run(tmp_path)
    (path,) = (tmp_path / "scratch").glob("*/step.npz")
    np.savez(path, **{"value": 1, "seconds it took": 100.0})
    (tmp_path / "results/toy/claims.json").unlink()
    seconds = [claim.stamp.seconds for claim in toy.run(tmp_path)]
    assert 100.0 <= seconds[0] < 110.0
    assert max(seconds[1:]) < 10.0
