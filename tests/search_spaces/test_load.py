"""Reading a search space, and every way in which it can be wrong."""

import pytest

from distill_core.settings import DatasetRef
from search_spaces.errors import SpaceError
from search_spaces.load import list_spaces, load_space
from search_spaces.resolve import resolve
from search_spaces.rules import Case

SPACE = """\
name: mine
description: a test
settings:
  seeds: 3
  evaluation: {num_eval: 2}
experiments:
  - name: first
    datasets: [digits, cifar10]
    methods: [random, dm+iid, k-center]
    ipc: [1, 10]
    sweep:
      lambda_cc: [0, 1e-2]
    distillation:
      iterations: 100
"""


@pytest.fixture
def load(tmp_path):
    def load(text, overrides=()):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return load_space(path, overrides)

    return load


@pytest.fixture
def message(load):
    def message(text, overrides=()):
        with pytest.raises(SpaceError) as caught:
            load(text, overrides)
        return str(caught.value)

    return message


def experiment(load, text, overrides=()):
    return load(text, overrides).experiments[0]


def test_axes_are_read_with_their_defaults(load):
    first = experiment(load, SPACE)
    assert first.datasets == (DatasetRef(name="digits"), DatasetRef(name="cifar10"))
    assert first.methods == ("Random", "DM+IID", "K-Center")
    assert first.ipc == (1, 10)
    assert first.seeds == (0, 1, 2)
    assert first.architectures == ("same",)
    assert first.protocol == "paper"
    assert first.sweep == (("distillation.lambda_cc", (0.0, 0.01)),)


@pytest.mark.parametrize(
    ("old", "new", "line", "parts"),
    [
        ("iterations: 100", "iteratons: 100", 14, ["'iteratons'", "did you mean 'iterations'?"]),
        (
            "iterations: 100",
            "iterations: many",
            14,
            ["experiments[0].distillation.iterations", "integer", "'many'"],
        ),
        ("iterations: 100", "iterations: 0", 14, ["at least 1"]),
        (
            "    ipc:",
            "    networks: VGG11\n    ipc:",
            10,
            ["unknown key 'networks'", "did you mean 'architectures'?"],
        ),
        ("    ipc:", "    icp:", 10, ["unknown key 'icp'", "'ipc'"]),
        ("ipc: [1, 10]", "ipc: [1, 0]", 10, ["ipc[1]", "at least 1"]),
        ("ipc: [1, 10]", "ipc: [1, yes]", 10, ["ipc[1]", "integer"]),
        ("ipc: [1, 10]", "ipc: [1, true]", 10, ["ipc[1]", "integer", "true"]),
        ("ipc: [1, 10]", "ipc: []", 10, ["at least 1 item"]),
        ("ipc: [1, 10]", "ipc: [1, 1]", 10, ["listed twice"]),
        ("ipc: [1, 10]", "ratio: [0.002, 2]", 10, ["ratio[1]", "at most 1"]),
        ("ipc: [1, 10]", "", 7, ["give ipc"]),
        ("ipc: [1, 10]", "ipc: 6000", 7, ["6000 images per class", "digits", "1,438"]),
        ("dm+iid", "dm+idd", 9, ["'dm+idd'", "did you mean 'DM+IID'?"]),
        ("dm+iid", "RANDOM", 9, ["'Random' is listed twice"]),
        ("seeds: 3", "seeds: -1", 4, ["between 1 and 10,000"]),
        ("seeds: 3", "seeds: 1000000000000", 4, ["between 1 and 10,000"]),
        ("seeds: 3", "seeds: [0, -1]", 4, ["seeds[1]"]),
        ("seeds: 3", "seeds: true", 4, ["integer"]),
        ("seeds: 3", "seeds: 1.5", 4, ["integer"]),
        ("seeds: 3", "protocol: papr", 4, ["'paper' or 'strict'", "'papr'"]),
        ("digits", "digit", 8, ["'digit'", "did you mean 'digits'?"]),
        ("[digits, cifar10]", "{name: mine}", 8, ["'mine'", "format and path"]),
        ("[digits, cifar10]", "{name: mine, format: parquet}", 8, ["both format and path"]),
        ("[digits, cifar10]", "{name: cifar10, format: parquet, path: x}", 8, ["another name"]),
        ("[digits, cifar10]", "{name: a/b, format: parquet, path: x}", 8, ["a name begins with"]),
        (
            "[digits, cifar10]",
            "{name: mine, format: parquet, path: x, num_classes: 1}",
            8,
            ["num_classes", "2"],
        ),
        (
            "[digits, cifar10]",
            "{name: mine, format: parquet, path: x, classes: 4}",
            8,
            ["did you mean 'num_classes'?"],
        ),
        (
            "[digits, cifar10]",
            "{name: digits, num_classes: 9}",
            8,
            ["10 classes, not 9", "omit num_classes"],
        ),
        (
            "[digits, cifar10]",
            "{name: mine, form: parquet, path: x}",
            8,
            ["'form'", "did you mean 'format'?"],
        ),
        (
            "    methods",
            "    architectures: [ConvNet, VGG12]\n    methods",
            9,
            ["'VGG12'", "did you mean VGG1"],
        ),
        ("lambda_cc:", "lambda_c:", 12, ["'lambda_c'", "did you mean 'lambda_c"]),
        ("lambda_cc:", "lr_net:", 12, ["ambiguous", "evaluation.lr_net"]),
        ("lambda_cc:", "ipc:", 12, ["ipc is an axis; give it next to sweep"]),
        ("[0, 1e-2]", "[0, 0.0]", 12, ["listed twice"]),
        ("[0, 1e-2]", "0.1", 12, ["list of values"]),
        ("[0, 1e-2]", "[]", 12, ["list of values"]),
        ("[0, 1e-2]", "[0, .nan]", 12, ["lambda_cc[1]", "finite"]),
        ("name: first", "nam: first", 7, ["'nam'", "'name'"]),
        ("- name: first", "- protocol: paper", 7, ["'name' is missing"]),
        ("name: mine", "nmae: mine", 1, ["'nmae'", "'name'"]),
        ("name: mine\n", "name: [mine]\n", 1, ["expected text"]),
        ("settings:", "settings: 3\nrules:", 3, ["settings", "3"]),
        (
            "experiments:",
            "include: [quickstrat]\nexperiments:",
            6,
            ["'quickstrat'", "'quickstart'"],
        ),
        (
            "experiments:",
            "rules: [{when: {}, set: {}}]\nexperiments:",
            6,
            ["rules[0].set", "at least 1"],
        ),
        (
            "experiments:",
            "rules: [{set: {queue: 3}}]\nexperiments:",
            6,
            ["unknown setting 'queue'"],
        ),
        (
            "experiments:",
            "rules: [{set: {distillation.queue: null}}]\nexperiments:",
            6,
            ["decides whether"],
        ),
        (
            "experiments:",
            "rules: [{when: {dataset: cfar10}, set: {lr_img: 1}}]\nexperiments:",
            6,
            ["'cifar10'"],
        ),
        (
            "experiments:",
            "rules: [{when: {ipc: '=10'}, set: {lr_img: 1}}]\nexperiments:",
            6,
            ["condition on ipc"],
        ),
        (
            "experiments:",
            "rules: [{when: {seed: 1}, set: {lr_img: 1}}]\nexperiments:",
            6,
            ["unknown key 'seed'"],
        ),
    ],
)
def test_what_is_wrong_is_said_once_with_place_and_remedy(message, old, new, line, parts):
    assert SPACE.count(old) >= 1
    said = message(SPACE.replace(old, new, 1))
    assert f"mine.yaml:{line}: " in said
    assert "\n" not in said
    for part in parts:
        assert part in said


@pytest.mark.parametrize("text", ["", "3", "[1, 2]", "name: x", "name: x\nexperiments: []", "null"])
def test_files_without_experiments(message, text):
    assert "mine.yaml" in message(text)


def test_two_experiments_of_one_name(message):
    second = "  - {name: first, datasets: digits, methods: DM, ipc: 1}\n"
    assert "mine.yaml:15: experiments[1].name: there are two experiments 'first'" in message(
        SPACE + second
    )


def test_one_data_set_name_cannot_stand_for_two_places(message):
    second = (
        "  - {name: second, methods: DM, ipc: 1, datasets: {name: own, format: parquet, path:"
        " %s}}\n"
    )
    third = second.replace("second", "third")
    said = message(SPACE + second % "a" + third % "b, num_classes: 3")
    assert "'own' stands for two data sets: other path and num_classes" in said


def test_ratio_becomes_images_per_class(load):
    first = experiment(load, SPACE.replace("ipc: [1, 10]", "ratio: [0.0002, 0.002, 0.02]"))
    digits, cifar10 = first.datasets
    assert first.list_images_per_class(cifar10) == (1, 10, 100)
    assert first.list_images_per_class(digits) == (
        1,
        3,
    )  # 1,438 images of 10 classes: 0.03, 0.29 and 2.9, at least one


def test_ratio_needs_a_known_data_set(message):
    text = SPACE.replace("ipc: [1, 10]", "ratio: 0.01").replace(
        "[digits, cifar10]", "{name: own, format: imagefolder, path: pictures}"
    )
    assert "ratio needs the number of training images" in message(text)


def test_own_data_set(load):
    text = SPACE.replace(
        "[digits, cifar10]", "{name: own, version: 2, format: imagefolder, path: p, image_size: 48}"
    )
    own = DatasetRef(name="own", version=2, format="imagefolder", path="p", image_size=48)
    assert experiment(load, text).datasets == (own,)


def test_notation_of_a_registered_data_set_does_not_matter(load):
    text = SPACE.replace(
        "[digits, cifar10]", "[{name: digits, version: 1, image_size: 32}, cifar10]"
    )
    assert experiment(load, text).datasets == experiment(load, SPACE).datasets


def test_axes_from_the_command_line_win(load):
    overrides = [
        "ipc=[5]",
        "seeds=1",
        "methods=DM",
        "settings.protocol=strict",
        "architectures=[ConvNet, VGG11]",
    ]
    first = experiment(load, SPACE, [*overrides, "datasets=[cifar100]"])
    assert (first.ipc, first.seeds, first.methods, first.protocol) == (
        (5,),
        (0,),
        ("DM",),
        "strict",
    )
    assert first.architectures == ("ConvNet", "VGG11")
    assert first.datasets == (DatasetRef(name="cifar100"),)


def test_ipc_from_the_command_line_replaces_a_ratio(load):
    first = experiment(load, SPACE.replace("ipc: [1, 10]", "ratio: 0.02"), ["ipc=2"])
    assert first.list_images_per_class(first.datasets[0]) == (2,)


def test_a_setting_fixed_on_the_command_line_is_not_swept(load):
    assert experiment(load, SPACE, ["lambda_cc=0.3"]).sweep == ()


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        (
            "networks=[ConvNet, VGG11]",
            ["distillation.queue.networks: ", "'architectures' or 'network'?"],
        ),
        ("models=VGG11", ["unknown setting", "'architectures' or 'network'?"]),
        ("images_per_class=1", ["did you mean 'ipc'?"]),
        ("iteratons=3", ["--set iteratons=3", "did you mean 'iterations'?"]),
        ("sed=1", ["'seeds'"]),
        (
            "lr_net=3",
            ["ambiguous", "evaluation.lr_net", "extractors.lr_net", "distillation.queue.lr_net"],
        ),
        ("iterations=abc", ["integer", "'abc'"]),
        ("iterations=[", ["not valid YAML"]),
        ("iterations", ["path=value"]),
        ("=3", ["path=value"]),
        ("seeds=", ["integer"]),
        ("methods=[DMM]", ["'DM'"]),
        ("distillation.queue=null", ["decides whether"]),
    ],
)
def test_wrong_overrides(message, override, parts):
    said = message(SPACE, [override])
    for part in (f"--set {override}", *parts):
        assert part in said


def test_includes_bring_their_experiments_with_their_own_settings(load):
    text = (
        "name: both\ninclude: [quickstart]\nsettings: {distillation: {iterations: 7}}\n"
        + SPACE[SPACE.index("exp") :]
    )
    space = load(text)
    assert [e.name for e in space.experiments] == [
        "quickstart/methods",
        "quickstart/architectures",
        "first",
    ]
    assert space.experiments[0].rules == load_space("quickstart").experiments[0].rules


def test_shipped_spaces_load_and_are_listed_by_their_names():
    listed = list_spaces()
    assert {"quickstart", "cifar10-small"} <= {name for name, _ in listed}
    for name, description in listed:
        space = load_space(name)
        assert space.name == name
        assert description and space.description == description


def test_unknown_space():
    with pytest.raises(SpaceError, match="did you mean 'quickstart'"):
        load_space("quickstrat")


def test_a_space_in_a_folder_is_found_by_its_last_name():
    with pytest.raises(SpaceError, match="did you mean 'paper/main'"):
        load_space("main")


@pytest.mark.parametrize("name", ["paper/contiual", "paper/continual/"])
def test_a_name_with_a_folder_is_a_name_too(name):
    with pytest.raises(SpaceError, match="did you mean 'paper/continual'"):
        load_space(name)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "nowhere/at all", ""])
def test_what_is_neither_name_nor_file(name):
    with pytest.raises(SpaceError, match="there is no search space"):
        load_space(name)


def test_a_file_needs_no_ending(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "space").write_text(SPACE)
    assert load_space("folder/space").name == "mine"


def test_a_mistake_of_the_command_line_is_called_one():
    with pytest.raises(SpaceError, match=r"digits has .* it was given by --set ipc"):
        load_space("quickstart", ["ipc=100000"])


def test_the_small_version_wins_over_the_file_and_the_command_line_over_that(load, tmp_path):
    text = (
        SPACE + "    smoke: {ipc: 2, sweep: {lambda_cm: [0, 1]}, distillation: {iterations: 3}}\n"
    )
    (tmp_path / "mine.yaml").write_text(text)
    full = load(text).experiments[0]
    small = load_space(tmp_path / "mine.yaml", ["lr_img=3"], smoke=True).experiments[0]
    assert full.ipc == (1, 10) and small.ipc == (2,)
    assert [ref.name for ref in small.datasets] == ["digits"] and small.seeds == (0, 1)
    assert [path for path, _ in small.sweep] == ["distillation.lambda_cm"]
    case = Case(dataset="digits", method="IDM+IID", ipc=2, protocol="paper")
    settings = resolve(small, case, {}).distillation
    assert (settings.iterations, settings.lr_img) == (
        3,
        3.0,
    ), "the experiment's own small version is the stronger"
    assert resolve(full, case, {}).distillation.iterations == 100


@pytest.mark.parametrize(
    ("extra", "part"),
    [
        ("    measure: continual\n", "needs steps"),
        ("    measure: continual\n    steps: [0]\n", "steps[0]"),
        ("    measure: speed\n", "measure"),
        (
            "    steps: [2]\n",
            (
                "experiments[0].steps: measure is accuracy; only class-incremental learning has"
                " steps"
            ),
        ),
        (
            "    measure: features\n    smoke: {steps: 2}\n",
            (
                "experiments[0].smoke.steps: measure is features; only class-incremental learning"
                " has steps"
            ),
        ),
        ("    measure: features\n    smoke: {sweep: {ipc: [1]}}\n", "ipc is an axis"),
    ],
)
def test_what_is_measured_is_checked(message, extra, part):
    assert part in message(SPACE + extra)


def test_steps_that_no_experiment_has_are_refused(load, message):
    shared = SPACE.replace("  seeds: 3", "  steps: 2")
    continual = "  - {name: second, measure: continual, datasets: digits, methods: DM, ipc: 1}\n"
    assert "mine.yaml:4: settings.steps: no experiment has measure continual" in message(shared)
    assert [e.steps for e in load(shared + continual).experiments] == [(), (2,)]
    assert "--set steps: no experiment of mine has measure continual" in message(SPACE, ["steps=2"])
    assert [e.steps for e in load(SPACE + continual, ["steps=5"]).experiments] == [(), (5,)]


def test_whole_has_no_set_to_look_at(message):
    assert "makes no set" in message(SPACE.replace("random", "Whole") + "    measure: features\n")
