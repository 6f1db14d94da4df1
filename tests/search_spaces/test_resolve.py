"""Which setting wins, level by level, and the published settings against the method's tables."""

import pytest

from distill_core.settings import (
    DSA_ALL,
    DistillationSettings,
    EvaluationSettings,
    ExtractorSettings,
    QueueSettings,
)
from search_spaces.errors import SpaceError
from search_spaces.load import load_space
from search_spaces.resolve import resolve
from search_spaces.rules import Case, Rule
from search_spaces.setting_sources import load_published_rules

NO_FLIP = "color_crop_cutout_scale_rotate"


def settings_of(
    tmp_path, dataset, method, ipc, *, space="", experiment="", sweep=None, overrides=()
):
    path = tmp_path / "space.yaml"
    path.write_text(
        f"name: space\n{space}\nexperiments:\n  - name: only\n    datasets: {dataset}\n    methods:"
        f" {method}\n    ipc: {ipc}\n{experiment}\n"
    )
    only = load_space(path, overrides).experiments[0]
    return resolve(
        only, Case(dataset=dataset, method=method, ipc=ipc, protocol="paper"), sweep or {}
    )


def test_each_level_wins_over_the_one_before(tmp_path):
    """IDM's published lr_img is 0.2; every further level sets another value."""
    space = ["", "", ""]
    levels = [
        (0, "settings: {distillation: {lr_img: 3}}", 3),
        (0, "rules: [{when: {method: IDM}, set: {lr_img: 4}}]", 4),
        (1, "    distillation: {lr_img: 5}", 5),
        (1, "    rules: [{when: {ipc: '>=10'}, set: {distillation.lr_img: 6}}]", 6),
    ]
    assert (
        settings_of(tmp_path, "digits", "DM", 10).distillation.lr_img
        == DistillationSettings().lr_img
    )
    assert settings_of(tmp_path, "digits", "IDM", 10).distillation.lr_img == 0.2
    for place, text, expected in levels:
        space[place] += text + "\n"
        found = settings_of(tmp_path, "digits", "IDM", 10, space=space[0], experiment=space[1])
        assert found.distillation.lr_img == expected
    sweep = {"distillation.lr_img": 7.0}
    full = {"space": space[0], "experiment": space[1], "sweep": sweep}
    assert settings_of(tmp_path, "digits", "IDM", 10, **full).distillation.lr_img == 7
    assert (
        settings_of(
            tmp_path, "digits", "IDM", 10, **full, overrides=["lr_img=8"]
        ).distillation.lr_img
        == 8
    )


def test_rules_that_do_not_match_change_nothing(tmp_path):
    rules = (
        "rules: [{when: {method: IDM, ipc: [1, 50]}, set: {lr_img: 4}}, {when: {protocol: strict},"
        " set: {lr_img: 5}}]"
    )
    assert settings_of(tmp_path, "digits", "IDM", 10, space=rules).distillation.lr_img == 0.2


def test_without_any_rule_the_dataclasses_decide(tmp_path):
    found = settings_of(tmp_path, "cifar10", "Random", 10)
    assert found.distillation == DistillationSettings(queue=QueueSettings())
    assert found.evaluation == EvaluationSettings()
    assert found.extractors == ExtractorSettings()
    assert found.pool.count == 20


def test_own_pool_needs_folder_and_name(tmp_path):
    with pytest.raises(SpaceError, match=r"space\.yaml:4: experiment only: give both"):
        settings_of(tmp_path, "digits", "DM", 10, overrides=["extractors.folder=x"])


@pytest.mark.parametrize(
    ("rule", "case", "matches"),
    [
        ({"method": ("IDM",)}, ("d", "IDM+CC", 1), True),
        ({"method": ("DM",)}, ("d", "IDM", 1), False),
        ({"method": ("DM+IID",)}, ("d", "DM", 1), False),
        ({"ipc": (1, ">=50")}, ("d", "DM", 50), True),
        ({"ipc": (1, ">50")}, ("d", "DM", 50), False),
        ({"ipc": ("<10",)}, ("d", "DM", 9), True),
        ({"ipc": ("<=9",)}, ("d", "DM", 10), False),
        ({"ipc": (">=1",)}, ("d", "Whole", None), False),
        ({"dataset": ("a", "d"), "ipc": (2,)}, ("d", "DM", 1), False),
        ({}, ("d", "Whole", None), True),
    ],
)
def test_conditions(rule, case, matches):
    dataset, method, ipc = case
    assert (
        Rule(set={}, **rule).matches(
            Case(dataset=dataset, method=method, ipc=ipc, protocol="paper")
        )
        is matches
    )


# The tables of the papers and releases, cell by cell: data set, IPC → ce_weight, batch_real,
# interval, train_steps.
IDM_TABLE = [
    ("cifar10", 1, 0.5, 5000, 5, 10),
    ("cifar10", 10, 0.5, 256, 30, 10),
    ("cifar10", 50, 0.1, 256, 30, 10),
    ("cifar10-jpeg", 1, 0.5, 5000, 5, 10),
    ("cifar10-jpeg", 10, 0.5, 256, 30, 10),
    ("cifar10-jpeg", 50, 0.1, 256, 30, 10),
    ("cifar100", 1, 0.5, 5000, 5, 10),
    ("cifar100", 10, 0.1, 256, 30, 50),
    ("cifar100", 50, 0.1, 256, 30, 40),
    ("tinyimagenet", 1, 0.5, 256, 5, 10),
    ("tinyimagenet", 10, 0.5, 256, 30, 10),
    ("tinyimagenet", 50, 0.8, 256, 30, 50),
    ("svhn", 1, 0.5, 256, 5, 10),
    ("svhn", 10, 0.5, 256, 30, 10),
]


@pytest.mark.parametrize(
    ("dataset", "ipc", "ce_weight", "batch_real", "interval", "train_steps"), IDM_TABLE
)
def test_published_idm(tmp_path, dataset, ipc, ce_weight, batch_real, interval, train_steps):
    for method in ("IDM", "IDM+IID"):
        found = settings_of(tmp_path, dataset, method, ipc).distillation
        queue = found.queue
        assert (found.lr_img, found.momentum_img, found.partition, found.iterations) == (
            0.2,
            0.5,
            2,
            20_000,
        )
        assert (queue.ce_weight, found.batch_real, queue.interval) == (
            ce_weight,
            batch_real,
            interval,
        )
        assert (queue.networks, queue.max_networks, queue.trained_networks) == (3, 100, 2)
        assert (queue.train_steps, queue.batch_train) == (train_steps, 256)
        assert (queue.lr_net, queue.momentum, queue.weight_decay) == (0.01, 0.9, 5e-4)
        assert (found.lambda_cc, found.lambda_cm) == (0.01, 0.03)


@pytest.mark.parametrize(
    ("ipc", "lr_img"), [(1, 1), (10, 1), (50, 1), (99, 1), (100, 10), (200, 10)]
)
def test_published_dm(tmp_path, ipc, lr_img):
    for dataset in ("cifar10", "cifar100", "svhn"):
        found = settings_of(tmp_path, dataset, "DM+IID", ipc).distillation
        assert (found.lr_img, found.momentum_img, found.partition) == (lr_img, 0.5, 1)
        assert (found.iterations, found.batch_real, found.init) == (20_000, 256, "real")
        assert (found.lambda_cc, found.lambda_cm) == (0.05, 0.01)


@pytest.mark.parametrize(
    ("dataset", "strategy"),
    [
        ("digits", NO_FLIP),
        ("mnist", NO_FLIP),
        ("svhn", NO_FLIP),
        ("fashionmnist", DSA_ALL),
        ("cifar10", DSA_ALL),
        ("cifar10-jpeg", DSA_ALL),
        ("cifar100", DSA_ALL),
        ("tinyimagenet", DSA_ALL),
    ],
)
def test_published_augmentation_and_network(tmp_path, dataset, strategy):
    found = settings_of(tmp_path, dataset, "DM", 10)
    assert found.distillation.dsa_strategy == found.evaluation.dsa_strategy == strategy
    assert found.extractors.dsa_strategy == "none"
    assert found.distillation.network == ("ConvNetD4" if dataset == "tinyimagenet" else "ConvNet")


def test_published_evaluation_and_extractors(tmp_path):
    found = settings_of(tmp_path, "cifar10", "IDM+IID", 10)
    evaluation, extractors = found.evaluation, found.extractors
    assert (evaluation.num_eval, evaluation.epoch_eval_train, evaluation.batch_train) == (
        20,
        1000,
        256,
    )
    assert (evaluation.lr_net, evaluation.momentum, evaluation.weight_decay) == (0.01, 0.9, 5e-4)
    assert (extractors.network, extractors.epochs, extractors.batch_train) == ("ResNet18", 40, 256)
    assert (extractors.lr_net, extractors.momentum, extractors.weight_decay) == (0.01, 0.9, 5e-4)


def test_the_whole_training_set_is_trained_on_for_fewer_epochs(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("name: s\nexperiments: [{name: e, datasets: cifar10, methods: Whole}]")
    only = load_space(path).experiments[0]
    found = resolve(only, Case(dataset="cifar10", method="Whole", ipc=None, protocol="paper"), {})
    assert found.evaluation == EvaluationSettings(epoch_eval_train=200)


def test_every_published_rule_names_its_source():
    assert all(rule.source for rule in load_published_rules())
