"""Errors whose message is all that a user needs: what is wrong, where, and what to do.

`USER_ERRORS` lists them, with those of `distill_core` and `search_spaces`.
"""

import shlex

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


def missing_store_error(address: str, error: type[StoreError] = StoreError) -> StoreError:
    """Return the error of a command that reads a store where there is none."""
    return error(
        f"store: there is none in {address}; check the path after --store, or make a store there:"
        f" iid run SPACE --store {shlex.quote(address)}"
    )


USER_ERRORS = (SpaceError, SettingsError, DatasetError, TableError, StoreError, LaunchError)
"""A command that ends with one of these prints its message and exits with code 2."""
