"""Errors whose message is all that a user needs: what is wrong, where, and what to do.

`USER_ERRORS` lists them, with those of `distill_core` and `search_spaces`.
"""

from distill_core.datasets.info import DatasetError
from distill_core.settings import SettingsError
from search_spaces.errors import SpaceError


class StoreError(RuntimeError):
    """The store cannot be read or written, or contradicts itself."""


class StoreUnwritable(StoreError):
    """The disk is full or read-only, which is true for all units alike."""


class TableError(ValueError):
    """A table file is damaged, or holds something else."""


class LaunchError(RuntimeError):
    """A launch cannot start or continue on this cluster."""


class ReportError(StoreError):
    """A report cannot be written, or its contents cannot be read."""


USER_ERRORS = (SpaceError, SettingsError, DatasetError, TableError, StoreError, LaunchError)
"""A command that ends with one of these prints its message and exits with code 2."""
