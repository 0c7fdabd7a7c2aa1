"""The program: thin commands around the library. It holds no science.

Importing it loads neither jax nor numpy nor matplotlib: a command's module is
imported when the command is called.
"""

from ._main import main as main
