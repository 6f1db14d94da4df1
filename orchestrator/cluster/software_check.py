"""Software that must be the same on all nodes, so that results do not depend on the node."""

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path

from orchestrator.store import provenance

COMPARED = ("python", "ray", "torch", "iid-orchestrator")
PACKAGES = ("distill_core", "orchestrator", "search_spaces")
SUFFIXES = (".py", ".cpp", ".yaml")
"""Of files that can change a result; published figures, which only reports read, are CSV."""


@functools.cache
def read_software() -> Mapping[str, str]:
    """Return this machine's versions, without their builds, and a hash of this package's code.

    The build of PyTorch, such as cu130, may differ with the GPUs of a node. The hash tells two
    checkouts with the same version from each other.
    """
    versions = provenance.read_versions()
    software = {}
    for name in COMPARED:
        if name in versions:
            software[name] = versions[name].partition("+")[0]
    software["python"] = ".".join(software["python"].split(".")[:2])
    return {**software, "code": hash_code(provenance.CHECKOUT)}


def hash_code(root: Path) -> str:
    """Return a hash of everything that computes: modules, C++ kernels, settings and spaces.

    Args:
        root: folder of the packages.
    """
    code = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                place = path.relative_to(root).as_posix()
                code.update(place.encode() + path.read_bytes())
    return code.hexdigest()[:8]


def describe_mismatch(node: str, theirs: Mapping[str, str], ours: Mapping[str, str]) -> str | None:
    """Describe how a node's software differs from that of the machine that launches.

    Args:
        node: name of the node.
        theirs: software of the node, see `read_software`.
        ours: software of the machine that launches.

    Returns:
        The first difference, and what to do; None if there is none.
    """
    for part, version in ours.items():
        other = theirs.get(part)
        if other == version:
            continue
        if part == "code":
            return (
                f"node {node} has other code of this package than the machine that launches, under"
                " the same version; install the same commit on all nodes"
            )
        found = f"has {part} {other}" if other else f"does not have {part}"
        return (
            f"node {node} {found}, the machine that launches has {version}; install the same"
            " version on all nodes"
        )
    return None
