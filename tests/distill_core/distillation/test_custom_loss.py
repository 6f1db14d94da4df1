"""Losses of one's own: refused before the first iteration where they could change nothing."""

import pytest
import torch

from distill_core.distillation.loop import distill
from distill_core.distillation.state import DistillationError
from distill_core.settings import DistillationSettings, SettingsError

SETTINGS = DistillationSettings(network="ConvNetW8D1", iterations=2, batch_real=4)
GAP = "(real.mean(1) - synthetic.mean(1)).square().sum()"


@pytest.fixture
def run(plug_in, tiny_dataset):
    def run(body, settings=SETTINGS, **options):
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        plug_in("own_loss", f"import torch\nfrom torch import nn\ndef f(real, synthetic):\n{lines}")
        settings = DistillationSettings(
            **{name: getattr(settings, name) for name in settings.__slots__}
            | {"loss": "own_loss:f"}
        )
        return distill(tiny_dataset, settings, ipc=2, seed=0, **options)

    return run


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (f"synthetic = synthetic.detach()\nreturn {GAP}", "has no gradient: .* detached"),
        (f"with torch.no_grad():\n    return {GAP}", "has no gradient"),
        ("return real.mean()", "has no gradient"),
        (f"return torch.tensor({GAP}.item(), requires_grad=True)", "does not depend on the synth"),
        ("return nn.Linear(2, 1)(torch.ones(2)).sum()", "does not depend on the synthetic"),
        (f"return {GAP} * float('nan')", "is nan for the initial images"),
        ("return synthetic.sub(1e9).log().sum()", "is nan for the initial images"),
        ("return (synthetic - synthetic.detach()).norm().sqrt()", "gradient of loss .* not finite"),
        (f"return {GAP}, 1.0", "of type tuple"),
        (f"return {GAP}.item()", "of type float"),
        (f"return {GAP}.reshape(1)", r"of shape \(1,\)"),
        ("return synthetic.mean((1, 2, 3, 4))", r"of shape \(2,\)"),
        ("return (synthetic > 0).sum()", "of type int64"),
        ("return None", "of type NoneType"),
        (
            "return real.view(1, 2, 3) @ synthetic",
            r"failed on features of shape \(2, 8, 8, 8, 8\) \(real\) and \(2, 2, 8, 8, 8\)"
            r" \(synthetic\): RuntimeError",
        ),
    ],
)
def test_what_changes_nothing_or_fails_is_refused_by_name(run, body, message):
    with pytest.raises(SettingsError, match=f"loss 'own_loss:f'.*{message}|{message}"):
        run(body)


def test_views_of_features_work(run):
    state = run(
        "k, n, c, h, w = synthetic.shape\nreal = real.view(k, -1, c * h * w)\n"
        "return (real.mean(1) - synthetic.view(k, n, -1).mean(1)).square().sum()"
    )
    assert state.iteration == 2 and len(state.curve.values["own"]) == 2


def test_what_a_loss_does_to_real_features_stays_with_it(run, tiny_dataset):
    plain = distill(tiny_dataset, SETTINGS, ipc=2, seed=0)
    changed = run("real.zero_()\nreturn 0.0 * synthetic.sum()")
    assert torch.equal(plain.images, changed.images)


def test_a_loss_that_becomes_infinite_is_named(run):
    with pytest.raises(DistillationError, match="loss 'own_loss:f' is nan at iteration 1"):
        run(
            "f.calls = getattr(f, 'calls', 0) + 1\n"
            "return synthetic.sum() * (1.0 if f.calls == 1 else float('nan'))"
        )


def test_global_draws_do_not_matter(run):
    body = "return (synthetic * torch.rand_like(synthetic)).sum()"
    torch.manual_seed(1)
    first = run(body)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(run(body).images, first.images)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), torch.Generator().manual_seed(1).get_state())
    assert state is not None
