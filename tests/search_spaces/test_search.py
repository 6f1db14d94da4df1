"""What a search tries: a block `search` of an experiment, checked against the settings."""

import pytest

from search_spaces.errors import SpaceError
from search_spaces.load import load_space
from search_spaces.schema import Range, Rungs

SPACE = (
    "name: x\nexperiments:\n  - {{name: e, datasets: digits, methods: {methods}, ipc: 10, {rest},"
    " search: {search}}}\n"
)


def experiment(
    tmp_path, search, *, methods="DM+IID", rest="protocol: strict", overrides=(), **options
):
    path = tmp_path / "space.yaml"
    path.write_text(SPACE.format(methods=methods, rest=rest, search=search))
    (found,) = load_space(path, overrides, **options).experiments
    return found


def test_ranges_by_path(tmp_path):
    found = experiment(
        tmp_path,
        "{lambda_cc: {low: 0.001, high: 1, log: true, zero: true}, lr_img: {low: 1, high: 9}}",
    )
    assert found.search == (
        ("distillation.lambda_cc", Range(low=0.001, high=1.0, log=True, zero=True)),
        ("distillation.lr_img", Range(low=1.0, high=9.0)),
    )
    assert found.rungs == Rungs()


def test_a_setting_that_the_command_line_fixes_is_not_searched(tmp_path):
    ranges = "{lambda_cc: {low: 0.001, high: 1}, lambda_cm: {low: 0.001, high: 1}}"
    found = experiment(tmp_path, ranges, overrides=["lambda_cc=0.5"])
    assert [path for path, _ in found.search] == ["distillation.lambda_cm"]


def test_the_small_version_has_rungs_of_its_own(tmp_path):
    rest = "protocol: strict, rungs: {count: 4}, smoke: {rungs: {count: 2, num_eval: 1}}"
    ranges = "{lambda_cc: {low: 0.001, high: 1}}"
    assert experiment(tmp_path, ranges, rest=rest).rungs == Rungs(count=4)
    assert experiment(tmp_path, ranges, rest=rest, smoke=True).rungs == Rungs(count=2, num_eval=1)


@pytest.mark.parametrize(
    ("search", "options", "message"),
    [
        (
            "{lambda_c: {low: 1, high: 2}}",
            {},
            r"space\.yaml:3: .*search\.lambda_c: .*did you mean 'lambda_cm'",
        ),
        (
            "{lambda_cc: {low: 1, hihg: 2}}",
            {},
            r"search\.lambda_cc\.hihg: unknown key 'hihg'; did you mean 'high'",
        ),
        ("{lambda_cc: {low: 2, high: 2}}", {}, "low has to be the smaller"),
        ("{lambda_cc: {low: 0, high: 2, log: true}}", {}, "above 0"),
        ("{lambda_cc: {low: -1, high: 2}}", {}, "at least 0"),
        ("{momentum_img: {low: 0.5, high: 2}}", {}, r"momentum_img is 2.0; it must be in"),
        ("{iterations: {low: 10, high: 20}}", {}, "distillation.iterations cannot be searched"),
        ("{cc_alpha: {low: 1, high: 2}}", {}, "distillation.cc_alpha cannot be searched"),
        ("{num_eval: {low: 1, high: 2}}", {}, "evaluation.num_eval cannot be searched"),
        (
            "{lambda_cc: {low: 1, high: 2}, distillation.lambda_cc: {low: 1, high: 2}}",
            {},
            "searched twice",
        ),
        (
            "{lambda_cc: {low: 1, high: 2}}",
            {"rest": "protocol: paper"},
            "search needs protocol strict",
        ),
        (
            "{lambda_cc: {low: 1, high: 2}}",
            {"overrides": ["protocol=paper"]},
            "search needs protocol strict",
        ),
        ("{lambda_cc: {low: 1, high: 2}}", {"methods": "[DM, Random]"}, "Random distills nothing"),
        (
            "{lambda_cc: {low: 1, high: 2}}",
            {"rest": "protocol: strict, sweep: {lr_img: [1]}"},
            "search or sweep",
        ),
        (
            "{lambda_cc: {low: 1, high: 2}}",
            {"rest": "protocol: strict, measure: features"},
            "measure accuracy",
        ),
        (
            "{lambda_cc: {low: 1, high: 2}}",
            {"rest": "protocol: strict, rungs: {reduction: 1}"},
            "rungs.reduction",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused_with_its_place(tmp_path, search, options, message):
    with pytest.raises(SpaceError, match=message):
        experiment(tmp_path, search, **options)


def test_the_shipped_space_searches_the_weights_and_on_request_the_step():
    (found,) = load_space("lambda_search").experiments
    assert [(path.rpartition(".")[2], r.zero, r.optional) for path, r in found.search] == [
        ("lambda_cc", True, False),
        ("lambda_cm", True, False),
        ("lr_img", False, True),
    ]
    assert found.protocol == "strict"
