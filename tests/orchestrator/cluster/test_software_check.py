"""What must be the same on all nodes, and how a difference is described."""

import pytest

from orchestrator.cluster.software_check import describe_mismatch, hash_code, read_software
from orchestrator.store import provenance

OURS = {"python": "3.12", "ray": "2.60.0", "torch": "2.14.1", "code": "0123abcd"}


@pytest.fixture
def fresh_cache():
    read_software.cache_clear()
    yield
    read_software.cache_clear()


def test_the_same_is_no_difference():
    assert describe_mismatch("a", dict(OURS), OURS) is None
    assert describe_mismatch("a", OURS | {"numpy": "1.0"}, OURS) is None  # not compared


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        (
            OURS | {"torch": "2.11.0"},
            "node a has torch 2.11.0, the machine that launches has 2.14.1; install the same",
        ),
        (
            {k: v for k, v in OURS.items() if k != "ray"},
            "node a does not have ray, the machine that launches has 2.60.0; ",
        ),
        (OURS | {"code": "ffffffff"}, "node a has other code of this package"),
        (OURS | {"code": "ffffffff", "python": "3.11"}, "node a has python 3.11"),
    ],
)
def test_a_difference_names_node_and_remedy(theirs, message):
    assert describe_mismatch("a", theirs, OURS).startswith(message)


def test_code_counts_by_content_and_place_and_builds_do_not(fresh_cache, tmp_path, monkeypatch):
    for package in ("distill_core", "orchestrator"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(provenance, "CHECKOUT", tmp_path)
    monkeypatch.setattr(
        provenance, "read_versions", lambda: {"python": "3.12.4", "torch": "2.14.1+cu130"}
    )
    first = read_software()
    assert (first["python"], first["torch"]) == ("3.12", "2.14.1")
    read_software.cache_clear()
    assert read_software() == first
    (tmp_path / "orchestrator" / "a.py").rename(tmp_path / "orchestrator" / "b.py")
    read_software.cache_clear()
    moved = read_software()
    (tmp_path / "orchestrator" / "b.py").write_text("x = 2\n")
    read_software.cache_clear()
    assert len({first["code"], moved["code"], read_software()["code"]}) == 3


@pytest.mark.parametrize(
    "place",
    [
        "distill_core/runtime/winograd.cpp",
        "search_spaces/rules.py",
        "search_spaces/data/published_settings.yaml",
        "orchestrator/units/kinds.py",
    ],
)
def test_all_code_that_computes_counts(tmp_path, place):
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    (tmp_path / "distill_core" / "notes.md").parent.mkdir(exist_ok=True)
    empty = hash_code(tmp_path)
    (tmp_path / "distill_core" / "notes.md").write_text("no code")
    assert hash_code(tmp_path) == empty
    path.write_text("first")
    first = hash_code(tmp_path)
    path.write_text("second")
    assert len({empty, first, hash_code(tmp_path)}) == 3
    assert (provenance.CHECKOUT / place).suffix in (".cpp", ".py", ".yaml")


def test_the_kernel_in_cpp_is_where_the_hash_finds_it():
    assert list((provenance.CHECKOUT / "distill_core").rglob("*.cpp"))
