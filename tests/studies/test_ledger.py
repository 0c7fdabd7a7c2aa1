"""What is committed: `docs/claims.md` is generated from `results/`."""

from pathlib import Path

from pendula.studies import docs_text, read_claims


ROOT = Path(__file__).parents[2]


def test_the_page_of_claims_is_generated():
    """`pendula reproduce` at full budget writes it."""
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    assert page == docs_text(ROOT / "results")


def test_committed_rows_are_measured_at_full_size_and_give_reasons():
    for name, claims in read_claims(ROOT / "results").items():
        for claim in claims:
            assert claim.stamp.budget == "full", claim.id
            assert claim.id.split(".")[0] == name
            assert claim.met is not False or claim.reason, claim.id


def test_results_are_small():
    for folder in (ROOT / "results").glob("*/"):
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        assert size < 1_000_000, folder
