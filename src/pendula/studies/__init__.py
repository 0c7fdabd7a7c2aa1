"""Studies: what Pendula claims, with the code that measures it."""

from ._claim import Claim as Claim, Stamp as Stamp
from ._docs import docs_text as docs_text, write_docs as write_docs
from ._ledger import claims_table as claims_table, read_claims as read_claims
from ._reproduce import reproduce as reproduce, studies as studies
from ._row import Row as Row
from ._study import (
    NotHere as NotHere,
    Part as Part,
    Run as Run,
    Study as Study,
    study as study,
)
