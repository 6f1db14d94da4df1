"""`iid search` as a user meets it, without the search itself."""

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.search.results import build_full_evaluations, select_winners
from orchestrator.search.search import Search
from orchestrator.store.open import open_store


def iid(*words):
    return CliRunner().invoke(app, ["search", *map(str, words)], env={"COLUMNS": "200"})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["quickstart"], "no experiment with a block search, such as search: {"),
        (["lambda_serch"], "did you mean 'lambda_search'"),
        (["lambda_search", "--also", "lr_im"], "did you mean 'lr_img'"),
        (["lambda_search", "--set", "protocol=paper"], "search needs protocol strict"),
        (
            ["lambda_search", "--set", "lambda_cc=0.1", "--set", "lambda_cm=0.1"],
            "nothing is left to search",
        ),
        (["lambda_search", "--set", "datasets=svhn"], "svhn"),
        (
            ["lambda_search", "--address", "auto", "--download"],
            "--download downloads to this machine only",
        ),
    ],
)
def test_what_cannot_be_searched_ends_with_a_message(words, message, tmp_path):
    found = iid(*words, "--store", tmp_path / "store", "--data", tmp_path)
    assert found.exit_code == 2 and message in found.output
    assert not (tmp_path / "store").exists()


def test_a_search_ends_with_a_report_the_found_settings_and_how_to_use_them(
    make_study, simulate, tiny_space, tmp_path, monkeypatch
):
    def run(search, studies):
        assert search.trials == 5 and search.overrides == ("seeds=1",)
        for study in studies:
            chosen = select_winners(simulate(study, search.trials, store=search.store))
            for trial in chosen:
                evaluate(study, trial, search.store)
        return 0

    def evaluate(study, trial, store):
        from orchestrator.store import tables

        units, wanted = build_full_evaluations(study, trial.parameters)
        for key in wanted:
            row = {
                "key": key,
                "split": units[key].split,
                "network_index": 0,
                "accuracy": trial.value,
            }
            tables.write(store.tables / "evaluations" / f"{key}.parquet", "evaluations", [row])

    monkeypatch.setattr(Search, "run", run)
    place = ["--store", tmp_path / "store", "--data", tmp_path, "--out", tmp_path / "out"]
    found = iid(tiny_space, "--trials", 5, "--set", "seeds=1", *place)
    assert found.exit_code == 0, found.output
    assert f"Found settings: iid run {tmp_path / 'out' / 'found.yaml'}" in found.output
    text = (tmp_path / "out" / "search.md").read_text()
    # To go on, the search needs more trials than it had.
    assert "5 trials" in text and "--trials 10 --sampler tpe --scheduler asha" in text
    assert (tmp_path / "out" / "found.yaml").exists() and open_store(
        tmp_path / "store"
    ).root.exists()
