"""Networks by name: the pool of DC, DSA, DM and IDM, and a ViT.

Names are checked without torch, so a search space can be validated quickly. The networks themselves
are loaded at first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from distill_core.networks.names import Architecture, list_network_names, parse_network_name

if TYPE_CHECKING:
    from distill_core.networks.build import build_network, network_for
    from distill_core.networks.initialization import initialize, uses_batch_statistics
    from distill_core.networks.network import Network

__all__ = [
    "Architecture",
    "Network",
    "build_network",
    "initialize",
    "list_network_names",
    "network_for",
    "parse_network_name",
    "uses_batch_statistics",
]

_LAZY_NAMES = {
    "Network": "network",
    "build_network": "build",
    "network_for": "build",
    "initialize": "initialization",
    "uses_batch_statistics": "initialization",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY_NAMES[name]}"), name)
