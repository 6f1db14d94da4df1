r"""Tables of a report as CSV.

A cell that a spreadsheet would compute begins with an apostrophe, which readers take off again:
`re.sub(r"^'(?='*[=+\-@\t\r＝＋－＠])", "", cell)`.
"""

import csv
from pathlib import Path

import pandas as pd

from orchestrator.report.model import Table
from orchestrator.report.plain_text import protect_cell


def write_csv(table: Table, out: Path) -> Path:
    """Write the header and the rows of a table to `tables/<slug>.csv` in a report's folder.

    Raises:
        OSError: the file cannot be written.
    """
    path = out / "tables" / f"{table.slug}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(map(protect_cell, table.header))
        for row in table.rows:
            writer.writerow([protect_cell(entry.text) for entry in row])
    return path


def write_frame(frame: pd.DataFrame, path: Path) -> Path:
    """Write a frame of statistics, its texts as cells of the other tables.

    Raises:
        OSError: the file cannot be written.
    """
    protected = frame.map(lambda value: protect_cell(value) if isinstance(value, str) else value)
    protected.to_csv(path, index=False)
    return path
