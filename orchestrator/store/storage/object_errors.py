"""Errors of fsspec and of the libraries below it as messages a person can act on."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.errors import StoreError, StoreUnwritable
from orchestrator.store import atomic_files

_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"}


@contextmanager
def translate_errors(where: str) -> Iterator[None]:
    """Turn any error inside the block into a `StoreError` about the object at URL `where`."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:  # fsspec, botocore, aiohttp, …: there is no common base class
        raise _describe(where, error) from error


def error_code(error: BaseException) -> str | None:
    """Return the S3 error code that an error was made from."""
    response = getattr(error.__cause__, "response", None)
    return response.get("Error", {}).get("Code") if isinstance(response, dict) else None


def one_line(error: Exception) -> str:
    """Return the message of an error on one line."""
    return " ".join((str(error) or type(error).__name__).split())


def _describe(where: str, error: Exception) -> StoreError:
    if atomic_files.is_full(error):
        return StoreUnwritable(
            f"store: {where}: the disk of its local copy is full; {atomic_files.FREE_SPACE}"
        )
    if error_code(error) == "NoSuchBucket":
        return StoreUnwritable(
            f"store: {where}: there is no such bucket; make it, or correct --store"
        )
    if isinstance(error, PermissionError) or type(error).__name__ in _NO_CREDENTIALS:
        return StoreUnwritable(
            f"store: {where}: access is refused ({one_line(error)}); check the credentials on this"
            " machine and what they allow: list, read, write and delete"
        )
    if isinstance(error, FileNotFoundError):
        return StoreError(
            f"store: {where}: it is not there; check that nobody deletes objects of the store"
        )
    return StoreError(
        f"store: {where}: the storage does not answer as it should ({one_line(error)}); check its"
        " address (for S3 AWS_ENDPOINT_URL) and the network, then run the same command again"
    )
