"""`iid evaluate`: what it asks for, what it refuses, and what it makes of a file."""

import re

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from distill_core.datasets.load import load_dataset
from distill_core.settings import DatasetRef, SettingsError
from distill_core.synthetic_set import SyntheticSet, to_pixels
from orchestrator.cli.app import app
from orchestrator.cli.commands.evaluate import build_evaluation_request, read_options
from search_spaces.errors import SpaceError


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with a DC file of two runs, and the first run's images in our own format."""
    folder = tmp_path_factory.mktemp("published")
    digits = load_dataset(DatasetRef(name="digits"), folder)
    runs = []
    for first in (0, 2):
        indices = torch.cat(
            [torch.arange(offset + first, offset + first + 2) for offset in digits.train.offsets]
        )
        runs.append([digits.train.normalized(indices), digits.train.labels[indices]])
    torch.save({"data": runs, "accs_all_exps": {"ConvNet": []}}, folder / "res_DM.pt")
    own = SyntheticSet(
        images=to_pixels(runs[0][0], digits.info.mean, digits.info.std),
        labels=runs[0][1],
        dataset="digits",
        class_names=digits.info.classes,
        mean=digits.info.mean,
        std=digits.info.std,
        ipc=2,
        method="same images",
    )
    own.save(folder / "own.safetensors")
    (folder / "text.txt").write_text("something else")
    return folder


def invoke(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.pt", "--dataset", "digits"], "there is no file or folder"),
        (["abcdef12", "--dataset", "digits"], "store: there is none in"),
        (["{}/res_DM.pt", "--dataset", "digit"], "nearest|did you mean|unknown"),
        (["{}/res_DM.pt", "--dataset", "digits", "--architectures", "ConvNut"], "--architectures"),
        (["{}/res_DM.pt", "--dataset", "digits", "--beside", "Randm"], "--beside.*Random"),
        (
            ["{}/res_DM.pt", "--dataset", "digits", "--normalised", "maybe"],
            "means and then the standard deviations",
        ),
        (
            ["{}/res_DM.pt", "--dataset", "digits", "--normalised", "no"],
            "looks like normalized images",
        ),
        (
            ["{}/res_DM.pt", "--dataset", "digits", "--lr-net", "file"],
            "comes without a learning rate",
        ),
        (["{}/res_DM.pt", "--dataset", "digits", "--lr-net", "-1"], "positive number"),
        (["{}/res_DM.pt", "--dataset", "digits", "--soft-labels", "x"], "logits or probabilities"),
        (["{}/res_DM.pt", "--dataset", "digits", "--set", "seeds=3"], "--set seeds"),
        (["{}/res_DM.pt", "--dataset", "digits", "--set", "epoch_eval_trai=3"], "epoch_eval_train"),
        (
            ["{}/res_DM.pt", "--dataset", "digits", "--zca", "nothing.pt"],
            "--zca nothing.pt: say yes, no, or",
        ),
        (
            ["{}/res_DM.pt", "--dataset", "digits", "--zca", "maybe"],
            "--zca maybe: say yes, no, or name a file",
        ),
        (["{}/text.txt", "--dataset", "digits"], "numpy.savez"),
        (
            ["{}/res_DM.pt", "--dataset", "digits", "--name", "Random", "--beside", "Random"],
            "another name",
        ),
    ],
)
def test_wrong_input_ends_in_a_message(published, tmp_path, arguments, says):
    result = invoke(
        *(a.format(published) for a in arguments), "--store", tmp_path / "store", "--data", tmp_path
    )
    assert result.exit_code == 2, result.output
    assert result.output.splitlines()[-1].startswith("error: ") and re.search(
        says, result.output
    ), result.output
    assert not (tmp_path / "store" / "units").exists()


def test_each_set_is_printed_with_its_key(published, tmp_path):
    asked = [
        "--dataset",
        "digits",
        "--name",
        "Random",
        "--beside",
        "Random",
    ]  # refused after the sets were read
    result = invoke(
        f"{published}/res_DM.pt", *asked, "--store", tmp_path / "store", "--data", tmp_path
    )
    assert (
        len(set(re.findall(r"Set [01] of Random \[([0-9a-f]{6})\], IPC 2", result.output))) == 2
    ), result.output


def test_options(tmp_path):
    options = read_options(
        normalised="0.4,0.5,0.6,0.1,0.2,0.3", zca="no", factor=2, soft_labels=None, check=True
    )
    assert (options.normalized, options.mean, options.std) == (
        True,
        (0.4, 0.5, 0.6),
        (0.1, 0.2, 0.3),
    )
    assert (options.zca, options.zca_path, options.partition) == (False, None, 2)
    whitening = tmp_path / "x.pt"
    whitening.touch()
    options = read_options(
        normalised="no", zca=str(whitening), factor=None, soft_labels=None, check=True
    )
    assert options.zca_path == str(whitening)
    for wrong in ("1", "1,2,3", "0.5,0", "0.5,nan", "nan,0.5", "inf,0.5", ""):
        with pytest.raises(SettingsError, match="--normalised"):
            read_options(normalised=wrong, zca=None, factor=None, soft_labels=None, check=True)


def test_the_question():
    question = build_evaluation_request(
        "digits", "ConvNet, ResNet18", "strict", "random,whole", ["evaluation.lr_net=0.5"], 3
    )
    assert (question.dataset.name, question.protocol) == ("digits", "strict")
    assert question.architectures == ("ConvNet", "ResNet18") and question.methods == (
        "Random",
        "Whole",
    )
    assert question.overrides["evaluation.num_eval"] == 3
    own = build_evaluation_request(
        "{name: mine, format: imagefolder, path: p}", "", "paper", "", [], None
    )
    assert (
        own.dataset.format == "imagefolder" and own.architectures == ("same",) and own.methods == ()
    )
    with pytest.raises(SpaceError, match="one data set"):
        build_evaluation_request("[digits, cifar10]", "", "paper", "", [], None)


def test_their_file_and_our_file_of_the_same_images_get_one_accuracy(
    published, tmp_path, monkeypatch, ray_on_two_cores
):
    """The whole command: two runs of a file, our own format, a baseline, the report; then nothing
    is left to do.
    """
    monkeypatch.chdir(published)
    command = ["res_DM.pt", "own.safetensors", "--dataset", "digits"]
    command += ["--architectures", "ConvNetW8", "--beside", "Random", "--num-eval", "2"]
    command += [
        "--set",
        "epoch_eval_train=2",
        "--store",
        str(tmp_path / "store"),
        "--out",
        str(tmp_path / "report"),
    ]

    def run():
        done = invoke(*command)
        assert done.exit_code == 0, done.output
        return done.output

    output = run()
    assert (
        "DC, DSA or DM, stored normalized" in output and "safetensors file in our format" in output
    )
    rows = pd.read_parquet(tmp_path / "store" / "tables" / "evaluations")
    assert {f"[{key[:6]}]" for key in rows["set_key"][rows["method"] != "Random"]} == set(
        re.findall(r"Set \d of .* (\[\w{6}\]), IPC", output)
    )
    accuracies = {
        key: group.sort_values("network_index")["accuracy"].tolist()
        for key, group in rows.groupby("set_key")
    }
    methods = rows.drop_duplicates("set_key").set_index("set_key")
    first = {
        method: key for key, (method, seed) in methods[["method", "seed"]].iterrows() if seed == 0
    }
    assert set(first) == {"Random", "res_DM", "same images"} and len(accuracies) == 5
    assert (
        accuracies[first["res_DM"]]
        == accuracies[first["same images"]]
        != accuracies[first["Random"]]
    )
    report = (tmp_path / "report" / "report.md").read_text()
    assert "same images" in report and r"res\_DM" in report
    assert "already done" in run()
