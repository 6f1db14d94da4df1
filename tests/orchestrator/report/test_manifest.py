"""Files of an earlier report."""

import hashlib
import json

import pytest


def test_what_is_no_longer_part_of_the_report_is_removed_and_nothing_else(small, tmp_path, write):
    out = tmp_path / "report"
    write(small, out)
    stale, mine, changed = (
        out / "tables" / name for name in ("main-digits-convnet-spread.csv", "mine.csv", "x.csv")
    )
    outside = tmp_path / "outside.csv"
    for path in (mine, changed, outside, out / "notes.txt"):
        path.write_text("kept")
    noted = json.loads((out / ".files.json").read_text())
    noted |= {"tables/x.csv": "another content", "notes.txt": noted["tables/results.csv"]}
    noted |= {f"tables/../../{outside.name}": hashlib.sha256(b"kept").hexdigest()}
    (out / ".files.json").write_text(json.dumps(noted))
    assert stale.exists()

    other = type(small)(tmp_path / "other")
    other.cell("DM", 1, 0, [0.5], dataset="svhn")
    write(other, out)
    assert not stale.exists()
    assert all(path.read_text() == "kept" for path in (mine, changed, outside, out / "notes.txt"))


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_a_damaged_note_of_files_removes_nothing(small, tmp_path, text, write):
    files, _ = write(small, tmp_path / "report")
    (tmp_path / "report/.files.json").write_text(text)
    files, _ = write(small, tmp_path / "report")
    assert all(path.exists() for path in files.tables)
    assert "tables/results.csv" in json.loads((tmp_path / "report/.files.json").read_text())
