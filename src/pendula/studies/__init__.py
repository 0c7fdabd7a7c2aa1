"""Studies: what Pendula claims, with the code that measures it."""

from ._catalogue import studies as studies
from ._claim import Claim as Claim, Stamp as Stamp
from ._docs import docs_pages as docs_pages, write_docs as write_docs
from ._ledger import claims_table as claims_table, read_claims as read_claims
from ._reproduce import reproduce as reproduce
from ._row import Row as Row
from ._study import (
    NotHere as NotHere,
    Part as Part,
    Run as Run,
    Study as Study,
    study as study,
)
