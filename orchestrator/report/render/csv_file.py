"""Tables of a report as CSV."""

import csv
from pathlib import Path

from orchestrator.report.model import Table


def write_csv(table: Table, out: Path) -> Path:
    """Write the header and the rows of a table to `tables/<slug>.csv` in a report's folder.

    Raises:
        OSError: the file cannot be written.
    """
    path = out / "tables" / f"{table.slug}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(table.header)
        for row in table.rows:
            writer.writerow([entry.text for entry in row])
    return path
