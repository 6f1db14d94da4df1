"""`iid check` sees what a plug-in is, and what it does not keep."""

import pytest
from typer.testing import CliRunner

from distill_core.check_plugin import check_plugin
from orchestrator.cli.app import app

LOSSES = """
import torch

def good(view, *, scale=1.0):
    return scale * (view.real.embedding.mean(1) - view.synthetic.embedding.mean(1)).square().sum()

def over_classes(real, synthetic):
    return (real.mean() - synthetic.mean()).square() * 1e6

def draws(real, synthetic):
    return (synthetic * torch.rand_like(synthetic)).sum()

class Forgets:
    calls = 0

    def __call__(self, view):
        self.calls += 1
        return self.calls * view.synthetic.maps.square().sum()

class Global(Forgets):
    def __call__(self, view):
        Global.calls += 1
        return Global.calls * view.synthetic.maps.square().sum()

def small_over_classes(real, synthetic):
    return 1e-4 * ((real.mean(1) - synthetic.mean(1)) ** 2).mean()


number = 3
"""


@pytest.fixture(autouse=True)
def module(plug_in):
    plug_in("own_losses", LOSSES)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("good", set()),
        ("over_classes", {"classes in chunks"}),
        ("small_over_classes", {"classes in chunks"}),
        ("draws", {"classes in chunks"}),
        ("Forgets", {"classes in chunks", "resumed"}),
        ("Global", {"two runs", "classes in chunks", "in a cohort", "resumed"}),
    ],
)
def test_what_does_not_agree_is_seen(name, bad):
    seen = list(check_plugin(f"own_losses:{name}", image_size=16))
    assert {each.what for each in seen if not each.is_good} == bad
    assert {"kind", "gradient", "loss"} <= {each.what for each in seen}


def test_the_command_says_what_it_saw():
    runner = CliRunner()
    arguments = ["check", "own_losses:good", "--image-size", "16", "--option", "scale=2"]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "as uninterrupted" in result.output and "NOT" not in result.output
    result = runner.invoke(app, ["check", "own_losses:over_classes", "--image-size", "16"])
    assert result.exit_code == 1 and "no sum over classes" in result.output
    for arguments, message in (
        (["own_losses:number"], "no network, base or loss"),
        (["own_losses:goood"], "did you mean own_losses:good"),
        (["own_losses:good", "--option", "scale"], "expected name=value"),
        (["own_losses:good", "--option", "x=1"], "its options are scale"),
    ):
        result = runner.invoke(app, ["check", *arguments])
        assert result.exit_code == 2 and "Traceback" not in result.output, result.output
        assert message in result.output + result.stderr
