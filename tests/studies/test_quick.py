"""Every part of every study at its quick budget: the same code, smaller."""

import json

import pytest

from pendula.studies import reproduce, studies


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [f"{one.name}.{part}" for one in studies().values() for part in one.parts]
)
def test_a_part_at_the_quick_budget(name, tmp_path, monkeypatch):
    """All rows of the part come out, and go where quick ones belong."""
    monkeypatch.chdir(tmp_path)
    study, part = name.split(".")
    rows = {row.id for row in studies()[study].parts[part].rows}
    claims = reproduce(name, "quick")
    assert {claim.id for claim in claims} == rows
    assert not (tmp_path / "results").exists()
    body = json.loads((tmp_path / "runs/quick" / study / "claims.json").read_text())
    assert {row["id"] for row in body["claims"]} == rows
    assert {row["budget"] for row in body["claims"]} == {"quick"}
    reasons = {claim.reason for claim in claims if claim.kind == "not_run"}
    if reasons:
        pytest.skip(f"not run here: {reasons.pop()}")
    exact = [claim for claim in claims if claim.id in ("spine.resume", "spine.formats")]
    assert all(claim.met for claim in exact)
