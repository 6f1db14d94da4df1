"""Plug-ins that cannot work are refused before a launch starts."""

from pathlib import Path

import pytest
from rich.console import Console

from distill_core.settings import (
    DatasetRef,
    DistillationSettings,
    EvaluationSettings,
    ExtractorSettings,
    QueueSettings,
    SettingsError,
)
from orchestrator.cli.commands.run import check_inputs
from orchestrator.execution import check_custom
from orchestrator.launch.options import RunOptions
from orchestrator.store.open import open_store
from orchestrator.units import Distill, Evaluate, TrainExtractor

DIGITS = DatasetRef(name="digits")


def check(units):
    """Check units as `iid run` does, for a store that has nothing yet."""
    options = RunOptions(data_root=Path("data"))
    check_inputs(units, options, open_store("store"), Console(quiet=True), download=False)


NET = """
from torch import nn
from distill_core.networks import Network

class Good(Network):
    def __init__(self, *, channels, classes, image_size):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.classifier = nn.Linear(4 * image_size**2, classes)

    def feature_map(self, x):
        return self.conv(x)

class Bad(Good):
    def head_input(self, maps):
        return maps.mean((2, 3))
"""
LOSS = """
def good(real, synthetic):
    print("good is called")
    return (real.mean(1) - synthetic.mean(1)).square().sum()

def bad(real, synthetic):
    return good(real, synthetic.detach())
"""


def evaluate(network):
    return Evaluate(
        dataset=DIGITS,
        protocol="paper",
        network=network,
        settings=EvaluationSettings(),
        seed=0,
        split="test",
        parents=("0" * 16,),
    )


def distill(**changes):
    settings = DistillationSettings(**{"network": "ConvNetW4D1", **changes})
    return Distill(dataset=DIGITS, protocol="paper", ipc=2, settings=settings, seed=0)


@pytest.fixture(autouse=True)
def modules(plug_in):
    plug_in("own_net", NET)
    plug_in("own_loss", LOSS)


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (evaluate("own_net:Bad"), "network 'own_net:Bad' failed on images .*RuntimeError"),
        (
            TrainExtractor(
                dataset=DIGITS,
                protocol="paper",
                settings=ExtractorSettings(network="own_net:Bad"),
                index=0,
            ),
            "network 'own_net:Bad' failed",
        ),
        (distill(loss="own_loss:bad"), "loss 'own_loss:bad' has no gradient"),
        (distill(loss="own_loss:bad", queue=QueueSettings()), "loss 'own_loss:bad' has no grad"),
        (distill(base="own_loss:good"), "base 'own_loss:good'"),
    ],
)
def test_what_cannot_work_is_refused_before_a_launch(unit, message):
    units = [evaluate("ConvNet"), unit]
    with pytest.raises(SettingsError, match=message):
        check(units)


def test_what_works_passes_quickly_whatever_the_budget():
    units = [
        evaluate("own_net:Good"),
        distill(network="own_net:Good", loss="own_loss:good", lambda_cc=1.0),
        distill(loss="own_loss:good", queue=QueueSettings(networks=50)),
    ]
    check(units)


def test_nothing_is_loaded_without_custom_objects(monkeypatch):
    monkeypatch.setattr(check_custom, "check_custom_objects", pytest.fail)
    check([evaluate("ConvNet"), distill()])
