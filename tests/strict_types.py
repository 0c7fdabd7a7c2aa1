"""The type checker that the tests put around every function of Pendula.

As in PEP 484 an int may stand for a float, and a float for a complex number.
"""

from beartype import BeartypeConf, beartype


checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
