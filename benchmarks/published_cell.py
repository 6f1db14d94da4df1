"""Published settings and figures of a cell."""

import argparse
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from distill_core.settings import DistillationSettings, EvaluationSettings, QueueSettings
from search_spaces.rules import Case, Rule

DATA = Path(__file__).parents[1] / "search_spaces" / "data"


def read_published_settings(dataset: str, method: str, ipc: int) -> dict[str, Any]:
    """Read the settings of papers and released code that differ from the defaults, by path."""
    case = Case(dataset=dataset, method=method, ipc=ipc, protocol="paper")
    values: dict[str, Any] = {}
    for rule in yaml.safe_load((DATA / "published_settings.yaml").read_text())["rules"]:
        conditions = {}
        for name, allowed in rule["when"].items():
            conditions[name] = tuple(allowed) if isinstance(allowed, list) else (allowed,)
        if Rule(set=rule["set"], **conditions).matches(case):
            values |= rule["set"]
    return values


def select_section(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the settings of a section, whose paths are "name.setting"."""
    settings = {}
    for path, value in values.items():
        section, _, setting = path.rpartition(".")
        if section == name:
            settings[setting] = value
    return settings


def build_settings(
    arguments: argparse.Namespace,
) -> tuple[DistillationSettings, EvaluationSettings]:
    """Build the settings of a cell: the published ones, unless the command line overrides them."""
    values = read_published_settings(arguments.dataset, arguments.method, arguments.ipc)
    distillation = select_section(values, "distillation")
    for name in ("network", "batch_real"):
        if getattr(arguments, name) is not None:
            distillation[name] = getattr(arguments, name)
    if "IID" not in arguments.method:
        distillation |= {"lambda_cc": 0.0, "lambda_cm": 0.0}
    queue = None
    if arguments.method.startswith("IDM"):
        queue = QueueSettings(**select_section(values, "distillation.queue"))
    shared = {"precision": arguments.precision}
    distillation |= shared | {"iterations": arguments.iterations, "queue": queue}
    evaluation = select_section(values, "evaluation") | shared
    evaluation |= {"num_eval": arguments.networks, "epoch_eval_train": arguments.epoch_eval_train}
    return DistillationSettings(**distillation), EvaluationSettings(**evaluation)


def find_published(dataset: str, ipc: int, method: str) -> dict[str, str] | None:
    """Return the published row of a cell, on the original images; None if there is none."""
    cell = (dataset.removesuffix("-jpeg"), str(ipc), method)
    with (DATA / "published.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            is_usual = row["architecture"] == "ConvNet"
            if is_usual and (row["dataset"], row["ipc"], row["method"]) == cell:
                return row
    return None
