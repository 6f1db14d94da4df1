"""A unit function that works on a data set whose test images and labels are wrong, and notes who
got any of them.
"""

import dataclasses
import os
from pathlib import Path

import orchestrator.execution.unit_functions
from orchestrator.execution.unit_functions import run_unit as run_ordinary_unit

hide_test_split = orchestrator.execution.unit_functions.hide_test_split


def run_unit(unit, context):
    orchestrator.execution.unit_functions.hide_test_split = poison_test_split
    try:
        return run_ordinary_unit(unit, context)
    finally:
        orchestrator.execution.unit_functions.hide_test_split = hide_test_split


def poison_test_split(dataset, unit):
    test = dataset.test
    wrong = dataclasses.replace(test, labels=test.labels.flip(0), images=255 - test.images)
    seen = hide_test_split(dataclasses.replace(dataset, test=wrong), unit)
    if len(seen.test):
        with Path(os.environ["SEEN"]).open("a") as stream:
            stream.write(f"{unit.key}\n")
    return seen
