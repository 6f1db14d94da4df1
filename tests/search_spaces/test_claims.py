"""Claims as data: one line or parts, and what is wrong with them."""

import pytest

from search_spaces.claims import Pair, parse_pair
from search_spaces.errors import InvalidValue, SpaceError
from search_spaces.load import load_space
from search_spaces.schema import ClaimList, validate
from search_spaces.setting_sources import load_published_claims


def _claim(value):
    return validate(ClaimList, {"claims": [value]}).claims[0].build_claim()


@pytest.mark.parametrize("sign", [">=", "≥", ">"])
@pytest.mark.parametrize("minus", ["-", "−", "–"])
def test_a_claim_on_one_line(sign, minus):
    claim = _claim(f"dm+iid {minus} DM {sign} 1.5 points on ConvNet at IPC 10")
    assert claim.pairs == (Pair("DM+IID", "DM"),)
    assert (claim.at_least, claim.at_most, claim.bound) == (1.5, None, 1.5)
    assert (claim.networks, claim.ipc, claim.datasets) == (("ConvNet",), (10,), ())
    assert (claim.chosen, claim.published) == ("smallest", "")


def test_a_drop_on_one_line():
    claim = _claim("drop of IDM+IID ≤ -2 on VGG11, on cifar10")
    assert (claim.drops, claim.pairs) == (("IDM+IID",), ())
    assert (claim.at_most, claim.networks, claim.datasets) == (-2.0, ("VGG11",), ("cifar10",))
    assert claim.chosen == "largest"


def test_parts_and_tolerance():
    claim = _claim({"text": "x", "compare": "IDM − DM", "at_most": 2, "tolerance": 0.5})
    assert (claim.pairs, claim.bound) == ((Pair("IDM", "DM"),), 2.5)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("DM is better", "a claim is written like"),
        ("DM+IX − DM ≥ 1", "unknown method 'DM\\+IX'"),
        ("DM-IDM ≥ 1", "with spaces around the minus"),
        ("IDM − DM ≥ 1 most of the time", "'most of the time' is not understood"),
        ("IDM − DM ≥ 1 on ConvNett", "ConvNett"),
        ({"text": "x", "at_least": 1.0}, "either compare or drop"),
        ({"text": "x", "drop": "DM"}, "either at_least or at_most"),
        ({"text": "x", "drop": "DM", "at_mst": 1.0}, "did you mean 'at_most'"),
    ],
)
def test_what_is_wrong_is_said(value, message):
    with pytest.raises(InvalidValue, match=message):
        _claim(value)


def test_a_wrong_claim_is_one_message_with_its_place(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "name: a\nclaims: [IDM better]\nexperiments:\n"
        "  - {name: e, datasets: digits, methods: DM, ipc: 1}\n"
    )
    with pytest.raises(SpaceError, match=r"a\.yaml:2: "):
        load_space(tmp_path / "a.yaml")


def test_published_claims_have_a_source_and_a_number():
    claims = load_published_claims()
    assert {claim.text for claim in claims if "6.6" in claim.published}
    assert {claim.text for claim in claims if "1.7" in claim.published}
    for claim in claims:
        assert claim.source and claim.published and claim.datasets
        assert "2404.00563" in claim.source
    assert {claim.datasets[0] for claim in claims} >= {"cifar10", "svhn", "cifar100"}


def test_a_difference_needs_two_methods():
    with pytest.raises(ValueError, match="DM\\+IID − DM"):
        parse_pair("DM")
