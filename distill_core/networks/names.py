"""The grammar of network names (free of torch): a family, then variations in a fixed order.

    ConvNet[W<width>][D<depth>][AS|AR|AL|ASwish][NN|BN|LN|IN|GN][NP|MP|AP]     ConvNetW64D4ASwishBN
    AlexNet[BN]   VGG(11|13|16|19)[BN]   ResNet(18|34|50)[W<width>][BN|AP|BN_AP]   MLP   LeNet   ViT

A custom network is named by its location, `module:object` (see `distill_core.extensions`).
"""

import difflib
import re
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, get_args

from distill_core.extensions import require_importable
from distill_core.settings import SettingsError, is_custom

Family = Literal["ConvNet", "AlexNet", "VGG", "ResNet", "MLP", "LeNet", "ViT"]

_NUMBER = r"[1-9]\d*"
_VARIATIONS: dict[Family, str] = {
    "ConvNet": (
        rf"(W(?P<width>{_NUMBER}))?(D(?P<depth>{_NUMBER}))?(A(?P<activation>Swish|S|R|L))?"
        r"(?P<norm>NN|BN|LN|IN|GN)?(?P<pooling>NP|MP|AP)?"
    ),
    "AlexNet": r"(?P<norm>BN)?",
    "VGG": r"(?P<depth>11|13|16|19)(?P<norm>BN)?",
    "ResNet": (
        rf"(?P<depth>18|34|50)(W(?P<width>{_NUMBER}))?(?P<norm>BN)?((?:(?<=BN)_|(?<!BN))(?P<pooling>AP))?"
    ),
    "MLP": "",
    "LeNet": "",
    "ViT": "",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """A parsed network name; None stands for the default of the family."""

    family: str
    """The part of the name before the variations, a `Family`; the whole name if it is custom."""
    depth: int | None = None
    """ConvNet: blocks; VGG and ResNet: weighted layers."""
    width: int | None = None
    """Channels of the first layer."""
    activation: str | None = None
    """S sigmoid, R ReLU, L leaky ReLU with slope 0.01, Swish x·sigmoid(x)."""
    norm: str | None = None
    """NN none, BN batch, LN layer, IN instance, GN group norm with 4 groups."""
    pooling: str | None = None
    """NP none, MP maximum, AP average, over 2×2 pixels; in a ResNet AP replaces strides."""


def parse_network_name(name: str) -> Architecture:
    """Parse a network name.

    Raises:
        SettingsError: the name is unknown; the message suggests the nearest one.
    """
    if is_custom(name):
        return Architecture(family=require_importable(name))
    for family in get_args(Family):
        match = re.fullmatch(family + _VARIATIONS[family], name)
        if match:
            values: dict[str, Any] = {key: text for key, text in match.groupdict().items() if text}
            for key in values.keys() & {"depth", "width"}:
                values[key] = int(values[key])
            return Architecture(family=family, **values)
    raise SettingsError(_unknown_network_message(name))


def list_network_names() -> list[str]:
    """Return the names of the published pools and the ViT; the grammar above allows more."""
    variations = "W32 W64 W128 W256 D1 D2 D3 D4 AS AR AL ASwish ASwishBN NN BN LN IN GN NP MP AP"
    names = ["ConvNet"]
    names += [f"ConvNet{variation}" for variation in variations.split()]
    names += ["AlexNet", "AlexNetBN"]
    names += [f"VGG{depth}{norm}" for depth, norm in product((11, 13, 16, 19), ("", "BN"))]
    variants = ("", "BN", "AP", "BN_AP")
    names += [f"ResNet{depth}{variant}" for depth, variant in product((18, 34, 50), variants)]
    return [*names, "MLP", "LeNet", "ViT"]


def _unknown_network_message(name: str) -> str:
    by_lower_case = {known.lower(): known for known in list_network_names()}
    nearest = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.5)
    advice = f"known are {', '.join(list_network_names())}"
    if nearest:
        advice = f"did you mean {by_lower_case[nearest[0]]}?"
    return f"unknown network {name!r}: {advice}"
