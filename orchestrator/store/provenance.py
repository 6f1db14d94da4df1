"""Where a result comes from: run, versions, commit, machine. None of it identifies a unit."""

import functools
import json
import logging
import platform
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from distill_core.source_hash import hash_source
from orchestrator.store.tables import Row
from orchestrator.units import Unit, list_custom_names, to_json

PACKAGES = ("iid-orchestrator", "torch", "torchvision", "ray", "numpy", "pyarrow")
CHECKOUT = Path(__file__).resolve().parents[2]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """What the rows of one unit say about their making."""

    run: str
    device: str
    """Name of the device, such as a GPU's or processor's model."""
    fingerprint: str | None
    git_commit: str | None

    def build_columns(self, unit: Unit) -> dict[str, Any]:
        """Return the columns that every table shares, but `seconds` and `peak_memory`."""
        settings = getattr(unit, "settings", None)
        return {
            "key": unit.key,
            "kind": unit.kind,
            "run": self.run,
            "spec": to_json(unit),
            "dataset": unit.dataset.name,
            "dataset_version": unit.dataset.version,
            "fingerprint": self.fingerprint,
            "protocol": getattr(unit, "protocol", None),
            "seed": getattr(unit, "seed", None),
            "dtype": _arithmetic(getattr(settings, "precision", None), self.device),
            "device": self.device,
            "versions": json.dumps(read_versions()),
            "git_commit": self.git_commit,
            "finished": datetime.now(UTC),
            "sources": _describe_sources(unit),
        }


def _describe_sources(unit: Unit) -> str | None:
    """Return the hash of each custom object's source, as JSON; None for a unit without any."""
    names = list_custom_names(unit)
    return json.dumps({name: hash_source(name) for name in names}) if names else None


def is_gpu(device: str) -> bool:
    """Whether a row's device is the model of a GPU."""
    words = ("nvidia", "tesla", "geforce", "quadro", "radeon", "instinct", "cuda")
    return any(word in device.lower() for word in words)


def _arithmetic(precision: str | None, device: str) -> str | None:
    """Return what a device computes in: TF32 exists on GPUs only."""
    return "float32" if precision == "tf32" and not is_gpu(device) else precision


def build_failure_row(
    unit: Unit, *, run: str, device: str, error: str, reason: str, traceback: str
) -> Row:
    """Return the row of table `failures` for a unit that did not finish."""
    return {
        "key": unit.key,
        "kind": unit.kind,
        "run": run,
        "spec": to_json(unit),
        "error": error,
        "reason": reason,
        "traceback": traceback,
        "device": device,
        "host": socket.gethostname(),
        "versions": json.dumps(read_versions()),
        "finished": datetime.now(UTC),
    }


def make_run_id() -> str:
    """Name a launch: its start in UTC and a few random digits, such as 20250131-142501-9f3a6c."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


@functools.cache
def read_versions() -> Mapping[str, str]:
    """Return the versions of Python and of the packages that compute, without importing them."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # an optional package
    return found


@functools.cache
def read_git_commit(folder: Path = CHECKOUT) -> str | None:
    """Return the commit of a checkout, "-dirty" if files differ from it; None without one."""
    if not (folder / ".git").exists() or shutil.which("git") is None:
        return None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError) as error:
        _log.warning("the commit of %s is unknown: %s", folder, error)
        return None
    return f"{commit}-dirty" if changed else commit


def name_device(device: str) -> str:
    """Return the model of the processor, or of the GPU that this process computes on."""
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return _processor() if device == "cpu" else device


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError as error:  # not Linux
        _log.info("the model of the processor is unknown: %s", error)
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=10, check=True
    ).stdout.strip()
