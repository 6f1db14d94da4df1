"""Errors whose message is all that a user needs: it names what is wrong, where, and what to do.

Those of `distill_core` and `search_spaces` count too; `USER_ERRORS` lists all of them.
"""

from distill_core.datasets.info import DatasetError
from distill_core.settings import SettingsError
from search_spaces.errors import SpaceError


class StoreError(RuntimeError):
    """The store cannot be read or written, or contradicts itself."""


class StoreUnwritable(StoreError):
    """The disk is full, or may not be written: what is true for one unit is true for all."""


class TableError(ValueError):
    """A table file is damaged or holds something else."""


class LaunchError(RuntimeError):
    """A launch cannot start or continue on this cluster."""


class ReportError(StoreError):
    """A report cannot be written, or what it shows cannot be read."""


USER_ERRORS = (SpaceError, SettingsError, DatasetError, TableError, StoreError, LaunchError)
"""A command that ends with one of these prints its message and exits with code 2."""
