"""What must be the same on all nodes of a cluster, so that a unit's result does not depend on where
it is computed.
"""

import functools
import hashlib
from collections.abc import Mapping

from orchestrator.store import provenance

COMPARED = ("python", "ray", "torch", "iid-orchestrator")


@functools.cache
def read_software() -> Mapping[str, str]:
    """Return this machine's: versions without their build, and a hash of this package's code."""
    versions = provenance.versions()
    found = {name: versions[name].partition("+")[0] for name in COMPARED if name in versions}
    found["python"] = ".".join(found["python"].split(".")[:2])
    code = hashlib.sha256()
    for package in ("distill_core", "orchestrator"):
        for path in sorted((provenance.CHECKOUT / package).rglob("*.py")):
            code.update(
                path.relative_to(provenance.CHECKOUT).as_posix().encode() + path.read_bytes()
            )
    return {**found, "code": code.hexdigest()[:8]}


def describe_mismatch(node: str, theirs: Mapping[str, str], ours: Mapping[str, str]) -> str | None:
    """Say how a node's software differs from that of the machine that launches; None if it is the
    same.
    """
    for part, version in ours.items():
        if (other := theirs.get(part)) == version:
            continue
        if part == "code":
            return (
                f"node {node} has other code of this package than the machine that launches, under"
                " the same version; install the same commit on all nodes"
            )
        return (
            f"node {node} has {part} {other or 'not at all'}, the machine that launches has"
            f" {version}; install the same on all nodes"
        )
    return None
