"""Read the tables of a store with pandas; nothing of this project is needed for that.

python examples/read_results.py store
"""

import argparse
from pathlib import Path

import pandas as pd


def summarize_accuracies(store: Path) -> pd.DataFrame:
    """Return the accuracy of each data set, network, method and IPC: mean, spread, networks."""
    rows = pd.read_parquet(store / "tables" / "evaluations")
    rows = rows[rows["split"] == "test"]
    # IPC is missing for the whole training set, and that group has to stay.
    groups = rows.groupby(["dataset", "network", "method", "ipc"], dropna=False)["accuracy"]
    return groups.agg(mean="mean", std=lambda values: values.std(ddof=0), networks="count")


def summarize_costs(store: Path) -> pd.DataFrame:
    """Return the mean seconds and the largest peak memory of the sets of each method and IPC."""
    rows = pd.read_parquet(store / "tables" / "distillations")
    return rows.groupby(["dataset", "method", "ipc"]).agg(
        sets=("key", "count"), seconds=("seconds", "mean"), peak_memory=("peak_memory", "max")
    )


def main() -> None:
    """Print both summaries."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path, help="folder of a store")
    store = parser.parse_args().store
    if not (store / "tables" / "evaluations").is_dir():
        parser.error(f"{store} is no store with evaluations; iid run writes one")
    print(summarize_accuracies(store).to_string(float_format="{:.4f}".format))
    print()
    print(summarize_costs(store).to_string(float_format="{:.1f}".format))


if __name__ == "__main__":
    main()
