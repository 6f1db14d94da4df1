"""Read the tables of a store with pandas; nothing of this project is needed for that.

python examples/read_results.py store
"""

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

CELL = ["dataset", "protocol", "split", "network", "method", "ipc"]
EVALUATION = ["num_eval", "epoch_eval_train", "lr_net"]
SETTINGS = [
    "matching_network",
    "iterations",
    "lambda_cc",
    "lambda_cm",
    "lambda_loss",
    "lr_img",
    "extractors",
    *EVALUATION,
]
"""What may differ between rows of one method: sweeps, and runs with other budgets."""


def read_table(store: Path, name: str) -> pd.DataFrame:
    """Return a table of a store.

    It has a file per unit. Files of version 0.1.0 lack columns, and pandas would take the columns
    of all from the first one.
    """
    files = sorted((store / "tables" / name).glob("*.parquet"))
    tables = [add_settings(pd.read_parquet(file)) for file in files]
    return pd.concat(tables, ignore_index=True).convert_dtypes()


def add_settings(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one evaluation with their settings, which version 0.1.0 has as JSON."""
    if "set_spec" not in rows or "settings_hash" in rows:
        return rows
    return rows.assign(**read_settings(rows["spec"][0], rows["set_spec"][0]))


def read_settings(spec: str, set_spec: str | None) -> dict[str, Any]:
    """Return the settings of an evaluation and of its set, from both units as JSON."""
    evaluation = json.loads(spec)["settings"]
    found = dict.fromkeys(SETTINGS) | {name: evaluation[name] for name in EVALUATION}
    made = json.loads(set_spec) if set_spec else {}
    if "settings" in made:  # a distilled set
        of_set = made["settings"]
        found |= {name: of_set[name] for name in SETTINGS if name in of_set}
        found |= {"matching_network": of_set["network"], "extractors": len(made["parents"])}
        found["lambda_loss"] = of_set.get("lambda_loss") if of_set.get("loss") else None
    return found


def summarize_accuracies(store: Path) -> pd.DataFrame:
    """Return the accuracy of each cell and settings: mean, spread, sets, networks.

    Rows are joined only where nothing but seeds differs.
    """
    rows = read_table(store, "evaluations")
    rows = rows[rows["split"] == "test"]
    columns = [*CELL, *SETTINGS]
    # It stands for all settings, also for those without a column; files of 0.1.0 lack it.
    if "settings_hash" in rows and rows["settings_hash"].notna().all():
        columns.append("settings_hash")
    # Some settings are missing: IPC for the whole training set, λ for chosen images.
    groups = rows.groupby(columns, dropna=False)
    summary = groups.agg(
        mean=("accuracy", "mean"),
        std=("accuracy", lambda values: values.std(ddof=0)),
        sets=("key", "nunique"),
        networks=("accuracy", "count"),
    )
    # A column that never differs tells nothing apart.
    constant = [name for name in summary.index.names if is_constant(summary.index, name)]
    return summary.droplevel([name for name in constant if name not in ("method", "ipc")])


def is_constant(index: pd.Index, name: str) -> bool:
    """Return whether a level of an index has one value, missing or not."""
    return index.get_level_values(name).nunique(dropna=False) == 1


def summarize_costs(store: Path) -> pd.DataFrame:
    """Return the mean seconds and the largest peak memory of the sets of equal work."""
    rows = read_table(store, "distillations")
    work = ["dataset", "method", "ipc", "network", "iterations"]
    return rows.groupby(work, dropna=False).agg(
        sets=("key", "count"), seconds=("seconds", "mean"), peak_memory=("peak_memory", "max")
    )


def main() -> None:
    """Print both summaries."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path, help="folder of a store")
    store = parser.parse_args().store
    if not any((store / "tables" / "evaluations").glob("*.parquet")):
        parser.error(f"{store} is no store with evaluations; iid run writes one")
    accuracies = summarize_accuracies(store).reset_index()
    print(accuracies.to_string(index=False, float_format="{:.4f}".format))
    print()
    if any((store / "tables" / "distillations").glob("*.parquet")):
        print(summarize_costs(store).to_string(float_format="{:.1f}".format))


if __name__ == "__main__":
    main()
