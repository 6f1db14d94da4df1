import dataclasses

import pytest

from distill_core.settings import (
    DistillationSettings,
    EvaluationSettings,
    ExtractorSettings,
    FeatureSettings,
    QueueSettings,
)
from search_spaces.errors import InvalidValue
from search_spaces.setting_paths import SETTINGS, PoolSettings, find_setting, flatten


def test_every_field_of_every_dataclass_is_a_setting():
    owners = (
        DistillationSettings,
        QueueSettings,
        EvaluationSettings,
        ExtractorSettings,
        PoolSettings,
        FeatureSettings,
    )
    fields = {(owner, item.name) for owner in owners for item in dataclasses.fields(owner)}
    names = ("queue", "base", "loss", "more_losses", "loss_options")  # options have their paths
    decided_by_the_method = {(DistillationSettings, name) for name in names}
    assert {
        (setting.owner, setting.field) for setting in SETTINGS.values()
    } == fields - decided_by_the_method


def test_every_default_is_accepted_unchanged():
    for setting in SETTINGS.values():
        default = getattr(setting.owner(), setting.field)
        assert setting.check(default) == default


def test_nested_sections_dotted_paths_and_last_names_mean_the_same():
    nested = flatten({"distillation": {"queue": {"ce_weight": 0.1}, "lr_img": 2}})
    dotted = flatten({"distillation.queue.ce_weight": 0.1, "distillation.lr_img": 2.0})
    assert nested == dotted == flatten({"ce_weight": 0.1, "lr_img": 2})


def test_a_setting_that_is_given_twice_is_refused():
    with pytest.raises(InvalidValue, match="set twice"):
        flatten({"lr_img": 1, "distillation": {"lr_img": 2}})


def test_ambiguous_names_list_the_paths():
    with pytest.raises(InvalidValue) as caught:
        find_setting("batch_train")
    for path in (
        "distillation.queue.batch_train",
        "evaluation.batch_train",
        "extractors.batch_train",
    ):
        assert path in caught.value.message


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        ("distillation.iterations", 0, "at least 1"),
        ("distillation.iterations", 1.5, "integer"),
        ("distillation.iterations", True, "integer"),
        ("distillation.iterations", "100", "integer"),
        ("distillation.iterations", 10**30, "too large"),
        ("distillation.lr_img", True, "number"),
        ("distillation.lr_img", float("nan"), "finite"),
        ("distillation.lr_img", float("inf"), "finite"),
        ("distillation.lr_img", -1, "at least 0"),
        ("distillation.lr_img", None, "number"),
        ("distillation.lr_img", [1], "number"),
        ("distillation.momentum_img", 1.0, "[0, 1)"),
        ("distillation.init", "Real", "'real'"),
        ("distillation.dsa_strategy", "color_flipp", "'flipp'"),
        ("distillation.network", "ConNet", "ConvNet"),
        ("distillation.network", "same", "unknown network"),
        ("distillation.precision", "fp16", "'float32'"),
        ("extractors.count", 0, "between 1"),
        ("evaluation.num_eval", -1, "at least 1"),
    ],
)
def test_values_that_do_not_fit(path, value, part):
    with pytest.raises(InvalidValue) as caught:
        SETTINGS[path].check(value)
    assert part in caught.value.message


def test_whole_numbers_are_fine_for_real_settings():
    assert SETTINGS["distillation.lr_img"].check(1) == 1.0
    assert SETTINGS["distillation.cc_alpha"].check(None) is None
