"""The source of a custom object as a hash: what it imports from beside it counts, too."""

import sys

import pytest

from distill_core.source_hash import hash_source


@pytest.fixture
def folder(plug_in):
    return plug_in("hash_main", "import os\nfrom hash_helper import x\n").parent


def test_an_edit_changes_it_and_a_copy_does_not(folder, plug_in):
    plug_in("hash_helper", "x = 1\n")
    first = hash_source("hash_main:f")
    assert first and len(first) == 16 and hash_source("hash_main:g@3") == first
    plug_in("hash_other", "y = 1\n")
    assert hash_source("hash_main:f") == first
    (folder / "hash_main.py").write_bytes(b"import os\r\nfrom hash_helper import x\r\n")
    assert hash_source("hash_main:f") == first
    plug_in("hash_helper", "x = 2\n")
    second = hash_source("hash_main:f")
    plug_in("hash_main", "import os\nfrom hash_helper import x\n\n")
    assert len({first, second, hash_source("hash_main:f")}) == 3
    assert "hash_main" not in sys.modules, "nothing is imported"


def test_relative_imports_of_a_package_count(folder, plug_in):
    package = folder / "hash_package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner" / "__init__.py").write_text("from ..tools import sizes\n")
    (package / "inner" / "losses.py").write_text("from . import *\nfrom .. import names\n")
    (package / "tools.py").write_text("sizes = 1\n")
    (package / "names.py").write_text("n = 1\n")
    hashes = [hash_source("hash_package.inner.losses:f")]
    for file in ("tools.py", "names.py", "inner/losses.py"):
        (package / file).write_text((package / file).read_text() + "# more\n")
        hashes.append(hash_source("hash_package.inner.losses:f"))
    assert None not in hashes and len(set(hashes)) == 4


def test_what_cannot_be_read_has_none(plug_in):
    assert hash_source("no_such_module:f") is None
    assert hash_source("sys:path") is None
    plug_in("hash_broken", "def (:\n")
    assert hash_source("hash_broken:f")
    assert hash_source("distill_core.distillation.losses:f")
