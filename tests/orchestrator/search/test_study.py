import dataclasses
import subprocess
import sys

import pytest

from orchestrator.search.build_studies import build_studies, find_unsearched
from orchestrator.search.study import format_settings
from search_spaces.errors import SpaceError
from search_spaces.load import load_space

CC, CM, LR = "distillation.lambda_cc", "distillation.lambda_cm", "distillation.lr_img"


def test_a_study_for_each_data_set_ipc_and_method():
    space = load_space("lambda_search", ["datasets=[digits, cifar10]", "ipc=[10, 50]"])
    found = build_studies(space, sampler="tpe", scheduler="asha")
    assert [study.title for study in found[:3]] == [
        "digits, IPC 10, DM+IID",
        "digits, IPC 10, IDM+IID",
        "digits, IPC 50, DM+IID",
    ]
    assert len(found) == len({study.key for study in found}) == 8


def test_the_published_settings_are_those_of_the_space(make_study):
    assert make_study(also=["lr_img"]).published == {CC: 0.05, CM: 0.01, LR: 10.0}
    assert make_study("lambda_cc=0.5").published == {CM: 0.01}


def test_units_never_see_the_test_images_and_rungs_differ_in_length_and_evaluation_alone(
    make_study,
):
    study = make_study()
    assert study.iterations == (1, 2, 4)
    choice = {CC: 0.5, CM: 0.0}
    rungs = [study.build_rung_units(choice, rung) for rung in range(3)]
    full = study.build_full_units(choice)
    assert list(full) == [0, 1]
    for seed, units in full.items():
        assert (units.distill.settings.lambda_cc, units.distill.settings.lambda_cm) == (0.5, 0.0)
        assert units.distill.seed == seed and len(units.distill.parents) == 1
        assert rungs[2][seed].distill == units.distill
        for rung, iterations in zip(rungs, study.iterations, strict=True):
            shorter = rung[seed].distill
            settings = dataclasses.replace(shorter.settings, iterations=4)
            assert shorter.settings.iterations == iterations
            assert dataclasses.replace(shorter, settings=settings) == units.distill
            (cheap,) = rung[seed].evaluations
            assert (cheap.settings.num_eval, cheap.settings.epoch_eval_train) == (1, 2)
            assert cheap.parents == (shorter.key,)
        for evaluation in (
            *units.evaluations,
            *(e for rung in rungs for e in rung[seed].evaluations),
        ):
            assert evaluation.split == "validation" and evaluation.protocol == "strict"
        assert units.distill.protocol == "strict"


def test_no_extractors_where_centralization_has_no_weight(make_study):
    study = make_study()
    assert study.build_rung_units({CC: 0.0, CM: 1.0}, 0)[0].distill.parents == ()
    assert set(study.build_rung_units({CC: 1.0, CM: 1.0}, 0)[0].distill.parents) == set(
        study.extractors()
    )


def test_the_key_stands_for_what_is_searched_and_not_for_how_long(make_study):
    keys = {
        make_study().key,
        make_study("ipc=3").key,
        make_study(sampler="random").key,
        make_study("seeds=1").key,
    }
    keys |= {
        make_study(scheduler="none").key,
        make_study("iterations=5").key,
        make_study(also=["lr_img"]).key,
    }
    assert len(keys) == 7 and make_study().key in keys


def test_a_method_is_not_searched_for_what_it_does_not_use(make_study):
    assert [d.name for d in make_study("methods=DM+CC").dimensions] == ["lambda_cc"]
    assert [d.name for d in make_study("methods=IDM+CM").dimensions] == ["lambda_cm"]
    with pytest.raises(SpaceError, match="no method uses them"):
        make_study("methods=DM")


def test_a_single_image_has_no_weights_to_search(make_study, tiny_space):
    with pytest.raises(SpaceError, match="one training image per class"):
        make_study("ipc=1")
    assert [d.name for d in make_study("ipc=1", also=["lr_img"]).dimensions] == ["lr_img"]
    both = load_space(tiny_space, ["ipc=[1, 2]"])
    assert [study.ipc for study in build_studies(both, sampler="tpe", scheduler="asha")] == [2]
    assert (
        find_unsearched(both) == ["digits, IPC 1, DM+IID"]
        and find_unsearched(both, ["lr_img"]) == []
    )
    assert [d.name for d in make_study("ipc=1", "methods=IDM+IID").dimensions] == [
        "lambda_cc",
        "lambda_cm",
    ]  # in partitions


def test_what_cannot_be_searched(tiny_space):
    with pytest.raises(SpaceError, match="no experiment with a block search"):
        build_studies(load_space("quickstart"), sampler="tpe", scheduler="asha")
    with pytest.raises(SpaceError, match=r"--also lr_im: .*did you mean 'lr_img'"):
        build_studies(load_space(tiny_space), sampler="tpe", scheduler="asha", also=["lr_im"])


def test_settings_for_people():
    assert format_settings({CC: 0.05, CM: 0.0}) == "lambda_cc 0.05, lambda_cm 0"


def test_planning_a_search_imports_neither_torch_nor_ray(tiny_space):
    code = (
        "import sys; from search_spaces.load import load_space\n"
        "from orchestrator.search.build_studies import build_studies\n"
        "from orchestrator.report import search_report\n"
        "from orchestrator.cli.commands import search\n"
        f"space = load_space({str(tiny_space)!r})\n"
        "(study,) = build_studies(space, sampler='tpe', scheduler='asha')\n"
        "study.build_rung_units(study.published, 0)\n"
        "assert not {'ray', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
