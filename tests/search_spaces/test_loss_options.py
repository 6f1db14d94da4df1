"""Options of custom losses in a search space: set, swept, searched, and part of the key."""

from dataclasses import replace

import pytest

from distill_core.settings import DatasetRef, DistillationSettings
from orchestrator.planning.plan import make_plan
from orchestrator.search.build_studies import build_studies
from orchestrator.units import Distill, from_json, list_custom_names, to_json
from search_spaces.errors import SpaceError
from search_spaces.load import load_space

SPACE = """
name: own
settings:
  datasets: digits
  seeds: 1
  distillation: {network: ConvNetW4D1, iterations: 2, DISTILLATION}
experiments:
  - name: one
    methods: [METHODS]
    ipc: 2
    architectures: ConvNetW4D1
    REST
"""


@pytest.fixture
def plan(tmp_path, plug_in):
    plug_in("own_losses", "def a(view, sigma=1.0): ...\ndef b(view): ...\n")

    def plan(methods, distillation="lr_img: 1", rest="protocol: paper"):
        file = tmp_path / "own.yaml"
        text = SPACE.replace("METHODS", methods).replace("DISTILLATION", distillation)
        file.write_text(text.replace("REST", rest))
        return load_space(str(file))

    return plan


def settings_of(space):
    return [u.settings for u in make_plan(space).units.values() if isinstance(u, Distill)]


def test_options_are_set_swept_and_in_the_key(plan):
    space = plan(
        '"DM+own_losses:a", DM',
        "loss_options: {kind: x, flag: true}",
        "sweep: {loss_options.sigma: [0.5, 2], lambda_mean: [0, 1]}",
    )
    settings = settings_of(space)
    assert {dict(s.loss_options).get("sigma") for s in settings} == {0.5, 2, None}
    own = [s for s in settings if s.loss]
    assert len(own) == 4
    assert {("flag", True), ("kind", "x")} <= set(own[0].loss_options)
    plain = [s for s in settings if not s.loss]
    assert all(s.loss_options == () for s in plain), "options matter only where there is a loss"
    for unit in make_plan(space).units.values():
        assert from_json(to_json(unit)) == unit and from_json(to_json(unit)).key == unit.key


def test_several_losses_have_weights_and_options(plan):
    (settings,) = settings_of(
        plan(
            '"DM+own_losses:a+own_losses:b"',
            "lambda_loss: 3, loss_options: {b.weight: 0.5, a.sigma: 2}",
        )
    )
    first, second = settings.loss_terms
    assert (first.label, first.weight, first.options) == ("own", 3, (("sigma", 2),))
    assert (second.label, second.weight, second.options) == ("own.b", 0.5, ())
    assert settings.method == "DM+own_losses:a+own_losses:b"
    unit = Distill(
        dataset=DatasetRef(name="digits"), protocol="paper", ipc=1, settings=settings, seed=0
    )
    assert list_custom_names(unit) == ("own_losses:a", "own_losses:b")


def test_options_can_be_searched_from_their_usual_value(plan):
    search = "protocol: strict\n    search: {loss_options.sigma: {low: 0.1, high: 10, log: true}}"
    space = plan('"DM+own_losses:a"', "loss_options: {sigma: 2}", search)
    (study,) = build_studies(space, sampler="grid", scheduler="none")
    assert study.published == {"distillation.loss_options.sigma": 2}
    units = study.build_rung_units({"distillation.loss_options.sigma": 0.3}, 0)
    assert units[0].distill.settings.loss_options == (("sigma", 0.3),)
    (study,) = build_studies(
        plan('"DM+own_losses:a"', rest=search), sampler="grid", scheduler="none"
    )
    with pytest.raises(SpaceError, match="its usual value is not known"):
        _ = study.published


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("loss_options: {sigma: [1, 2]}", "expected a number, true, false or a text"),
        ("loss_options: {sigma: null}", "expected a number"),
        ("loss_options: {si gma: 1}", "is no name of an option"),
        ("loss_options: 3", "expected settings of"),
        ("lambda_mean: -1", "lambda_mean is -1"),
        ("optimizer_img: rmsprop", "sgd"),
    ],
)
def test_wrong_options_are_said(plan, options, message):
    with pytest.raises(SpaceError, match=message):
        plan('"DM+own_losses:a"', options)


def test_defaults_leave_keys_as_they_were():
    def key(**changes):
        settings = replace(DistillationSettings(network="ConvNetW4D1", iterations=1), **changes)
        return Distill(
            dataset=DatasetRef(name="digits"), protocol="paper", ipc=1, settings=settings, seed=0
        ).key

    assert key() == "ce71a582b67d73dd" and key(loss="m:a", lambda_loss=2.0) == "41e0c97c63bf1f04"
    changed = [
        key(lambda_mean=0.0),
        key(optimizer_img="adam"),
        key(loss="m:a", loss_options=(("x", 1),)),
        key(loss="m:a", loss_options=(("x", 2),)),
        key(loss="m:a", more_losses=("m:b",)),
    ]
    assert len({*changed, key(), key(loss="m:a")}) == 7
    assert key(loss="m:a", loss_options=(("x", 1.0),)) == changed[2]
