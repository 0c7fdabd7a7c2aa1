"""What a run looks like: numbers into tables, figures and one HTML page."""

from ._blocks import (
    AbstractBlock as AbstractBlock,
    Columns as Columns,
    Facts as Facts,
    Heading as Heading,
    Headline as Headline,
    Link as Link,
    Listing as Listing,
    Picture as Picture,
    Points as Points,
    Section as Section,
    Table as Table,
    Text as Text,
    Verdict as Verdict,
)
from ._chips_page import chips_page as chips_page
from ._choice import (
    Choice as Choice,
    choose as choose,
    narrow_to as narrow_to,
)
from ._continuity_figure import with_continuity as with_continuity
from ._data_words import (
    CHANNEL_HEAD as CHANNEL_HEAD,
    channel_rows as channel_rows,
    summary_facts as summary_facts,
)
from ._demo_page import choice_of as choice_of, demo_sections as demo_sections
from ._family_page import (
    adapted_sections as adapted_sections,
    adapted_verdict as adapted_verdict,
    family_sections as family_sections,
)
from ._fit_page import fit_sections as fit_sections, verdict_words as verdict_words
from ._law_words import law_lines as law_lines
from ._numbers import (
    interval as interval,
    listing as listing,
    number as number,
    percent as percent,
    quantity as quantity,
    telling_apart as telling_apart,
)
from ._page import page as page
from ._run_folder import (
    Run as Run,
    read_run as read_run,
    write_arrays as write_arrays,
    write_report as write_report,
)
from ._solve_found import found_parameters as found_parameters
from ._solve_numbers import (
    solve_verdict as solve_verdict,
    write_solution as write_solution,
)
from ._toml import to_toml as to_toml
from ._unseen import with_unseen as with_unseen
from ._write import (
    write_figures as write_figures,
    write_numbers as write_numbers,
    write_page as write_page,
    write_run as write_run,
)
