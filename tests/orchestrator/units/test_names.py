"""Names of units: a unit next to its like says what tells it from them."""

import dataclasses

from distill_core.settings import DistillationSettings, EvaluationSettings
from orchestrator.units import Distill, Evaluate, describe_unit, name_units


def make_grid(small_plan, weights):
    """Sets that differ in a weight alone, and the same two networks on each."""
    (first, *_) = [unit for unit in small_plan().units.values() if unit.kind == "distill"]
    units = {}
    for weight in weights:
        settings = DistillationSettings(lambda_cc=weight)
        made = dataclasses.replace(first, settings=settings, parents=())
        units[made.key] = made
        for network in ("ConvNet", "AlexNet"):
            evaluated = Evaluate(
                dataset=made.dataset,
                protocol="paper",
                split="test",
                network=network,
                settings=EvaluationSettings(),
                seed=0,
                parents=(made.key,),
            )
            units[evaluated.key] = evaluated
    return units


def test_a_measurement_is_named_with_its_set(small_plan):
    units = make_grid(small_plan, [0.1])
    names = list(name_units(units).values())
    assert names[1].startswith("evaluate digits, DM+CC, IPC 1, ConvNet, seed 0 [")


def test_what_tells_units_apart_is_named(small_plan):
    units = make_grid(small_plan, [0.1, 0.01])
    names = name_units(units)
    without_keys = [name.rpartition(" [")[0] for name in names.values()]
    assert len(set(without_keys)) == len(units) == 6
    assert without_keys[0] == "distill digits, DM+CC, IPC 1, seed 0, lambda_cc 0.1"
    assert without_keys[5] == "evaluate digits, DM+CC, IPC 1, AlexNet, seed 0, lambda_cc 0.01"


def test_units_of_a_set_that_is_not_known_and_of_many_differences_have_names(small_plan):
    units = make_grid(small_plan, [0.1])
    alone = {key: unit for key, unit in units.items() if not isinstance(unit, Distill)}
    for key, name in name_units(alone).items():
        assert name == describe_unit(units[key])
    settings = [
        DistillationSettings(
            lambda_cc=0.1 * n, lambda_cm=0.1 * n, lr_img=n, iterations=n, batch_real=n
        )
        for n in (1, 2)
    ]
    first = next(iter(units.values()))
    made = [dataclasses.replace(first, settings=each) for each in settings]
    assert all(", … [" in name for name in name_units({u.key: u for u in made}).values())
