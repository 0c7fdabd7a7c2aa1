"""What is committed: the pages of claims are generated from `results/`."""

import re
from pathlib import Path

from pendula.studies import docs_pages, read_claims, studies


ROOT = Path(__file__).parents[2]


def test_the_pages_of_claims_are_generated():
    """`pendula reproduce` at full budget writes them."""
    docs = ROOT / "docs"
    found = {"claims.md", *(f"claims/{p.name}" for p in (docs / "claims").iterdir())}
    pages = {name: (docs / name).read_text(encoding="utf-8") for name in found}
    assert pages == docs_pages(ROOT / "results")


def test_every_page_of_claims_is_in_the_menu():
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [name for name in docs_pages(ROOT / "results") if name not in menu] == []


def test_the_page_on_papers_names_every_part_that_answers_to_one():
    page = (ROOT / "docs" / "reproducing-papers.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+\.\w+)`", page))
    parts = {
        f"{s.name}.{name}": p for s in studies().values() for name, p in s.parts.items()
    }
    quoting = {
        name
        for name, part in parts.items()
        for row in part.rows
        if row.published is not None and not row.source.startswith("ours")
    }
    assert named <= set(parts)
    assert quoting <= named


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
