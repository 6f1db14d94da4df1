"""Every format is read with the library that its users have, and the script of its card runs."""

import dataclasses
import json
import re

import pytest
import torch
import yaml

from distill_core.exporters import (
    FORMATS,
    Accuracy,
    ExportContent,
    ExportError,
    export,
    find_format,
)
from distill_core.exporters.card import build_collection_card
from distill_core.synthetic_set import SyntheticSet

LOSSLESS = [name for name, kind in FORMATS.items() if not kind.eight_bits]
EIGHT_BITS = [name for name, kind in FORMATS.items() if kind.eight_bits]


def make(
    channels=3, partition=1, soft=False, size=16, ipc=2, names=("T-shirt/top", "Trouser", "a b")
):
    """A set of pixels that are exact in 8 bits, except for some between two steps or outside."""
    draw = torch.Generator().manual_seed(0)
    shape = (len(names) * ipc, channels, size, size)
    images = torch.randint(0, 256, shape, generator=draw).float() / 255
    labels = torch.arange(len(names)).repeat_interleave(ipc)
    probabilities = torch.rand(len(labels), len(names), generator=draw).softmax(1)
    return SyntheticSet(
        images=images,
        labels=probabilities.argmax(1) if soft else labels,
        soft_labels=probabilities if soft else None,
        dataset="shirts",
        class_names=names,
        mean=(0.4, 0.5, 0.6)[:channels],
        std=(0.2, 0.25, 0.3)[:channels],
        ipc=ipc,
        partition=partition,
        method="DM+IID",
        spec={"protocol": "paper", "seed": 0},
        key="0123456789abcdef",
    )


SETS = {
    "rgb": make(),
    "gray": make(channels=1),
    "canvases": make(partition=2),
    "soft": make(soft=True),
}

ACCURACY = Accuracy(
    network="ConvNet",
    protocol="paper",
    split="test",
    accuracies=(0.5, 0.6),
    mean=0.55,
    std=0.05,
    interval=(0.5, 0.6),
    settings={"num_eval": 2},
)


def possible(formats):
    """Pairs of a format and a set that it supports."""
    return [
        (f, name)
        for f in formats
        for name, made in SETS.items()
        if FORMATS[f].soft_labels or name != "soft"
    ]


def script(folder):
    return re.search(r"```python\n(.*?)\n```", (folder / "README.md").read_text(), re.DOTALL)[1]


def run_script(folder, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder / "cache"))
    monkeypatch.chdir(folder)
    names = {}
    exec(script(folder).replace("range(300)", "range(2)"), names)
    return names


@pytest.mark.parametrize(("name", "made"), possible(LOSSLESS))
def test_what_is_not_stored_in_8_bits_comes_back_bit_for_bit(name, made, tmp_path):
    source, kind = SETS[made], FORMATS[name]
    export(source, kind, tmp_path / "out")
    images, labels = kind.read(tmp_path / "out", source)
    expected = ExportContent.from_set(source, by_class=kind.by_class)
    assert torch.equal(images, expected.images) and torch.equal(labels, expected.targets)
    assert images.dtype == torch.float32


@pytest.mark.parametrize(("name", "made"), possible(EIGHT_BITS))
def test_pictures_keep_their_order_and_lose_at_most_half_a_step(name, made, tmp_path):
    source, kind = SETS[made], FORMATS[name]
    content = export(source, kind, tmp_path / "out")
    images, labels = kind.read(tmp_path / "out", source)
    assert torch.equal(labels, content.targets)
    if kind.by_class:
        assert content.labels.tolist() == sorted(content.labels.tolist())
    half_a_step = 0.5 / 255 / min(source.std)
    assert (images - content.images).abs().max() <= half_a_step * 1.001


@pytest.mark.parametrize(("name", "made"), possible(FORMATS))
def test_the_script_on_the_card_reads_the_same_and_trains(name, made, tmp_path, monkeypatch):
    source, kind = SETS[made], FORMATS[name]
    export(source, kind, tmp_path / "out")
    images, labels = kind.read(tmp_path / "out", source)
    names = run_script(tmp_path / "out", monkeypatch)
    assert "distill_core" not in script(tmp_path / "out")
    assert torch.allclose(names["images"], images, atol=1e-5) and torch.equal(
        names["labels"], labels
    )
    assert torch.isfinite(names["loss"])


def test_the_script_learns_the_set(tmp_path, monkeypatch):
    source = make(ipc=4)
    source.images.mul_(0.2).add_(0.35 * source.labels.view(-1, 1, 1, 1))
    export(source, FORMATS["dc"], tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    names = {}
    torch.manual_seed(0)
    exec(script(tmp_path / "out").replace("range(300)", "range(30)").replace("128", "16"), names)
    assert names["loss"] < 0.5


def test_schedules_are_distinguished_and_one_network_has_no_spread(tmp_path):
    long = dataclasses.replace(ACCURACY, settings={"epoch_eval_train": 1000, "lr_net": 0.01})
    single = dataclasses.replace(
        long, accuracies=(0.5,), mean=0.5, std=0.0, interval=None, settings={"lr_net": 0.02}
    )
    export(SETS["gray"], FORMATS["dc"], tmp_path / "out", (long, single))
    text = (tmp_path / "out" / "README.md").read_text()
    assert "| ConvNet | paper | test | 1000 | 0.01 | 2 | 55.00 ± 5.00 | 50.00 to 60.00 |" in text
    assert "| ConvNet | paper | test | – | 0.02 | 1 | 50.00 | – |" in text


@pytest.mark.parametrize("name", FORMATS)
def test_where_files_lay_is_not_published(name, tmp_path):
    read = {"zca_path": "/home/anna/zca.pt", "zca": "0123abcd"}
    spec = {
        "path": "/home/anna/sets/res.pt",
        "content": "89abcdef",
        "reading": read,
        "made": {"path": "own/data"},
    }
    source = dataclasses.replace(SETS["gray"], spec=spec)
    export(source, FORMATS[name], tmp_path / "out")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not [path for path in files if b"anna" in path.read_bytes()]
    known = json.loads((tmp_path / "out" / "metadata.json").read_text())["spec"]
    assert known == {**spec, "path": "res.pt", "reading": {**read, "zca_path": "zca.pt"}}
    assert source.spec["path"] == "/home/anna/sets/res.pt"
    export(source, FORMATS[name], tmp_path / "out")


def test_dc_has_the_structure_that_its_readers_expect(tmp_path):
    longer = dataclasses.replace(ACCURACY, accuracies=(0.7,), settings={"epoch_eval_train": 1000})
    export(SETS["canvases"], FORMATS["dc"], tmp_path / "out", (ACCURACY, longer))
    content = torch.load(tmp_path / "out" / "dc.pt", weights_only=True)
    assert content.keys() == {"data", "accs_all_exps"}
    ((images, labels),) = content["data"]
    assert images.shape == (24, 3, 16, 16) and images.dtype == torch.float32
    assert labels.shape == (24,) and labels.dtype == torch.int64
    assert content["accs_all_exps"] == {"ConvNet": [0.5, 0.6, 0.7]}


def test_dd_ranking_gets_equally_many_images_of_each_class_in_order(tmp_path):
    export(SETS["canvases"], FORMATS["ddranking"], tmp_path / "out")
    images = torch.load(tmp_path / "out" / "images.pt", weights_only=True)
    labels = torch.load(tmp_path / "out" / "labels.pt", weights_only=True)
    assert len(images) == 24 and labels.tolist() == [0] * 8 + [1] * 8 + [2] * 8


@pytest.mark.parametrize("name", FORMATS)
def test_metadata_is_next_to_the_files(name, tmp_path):
    export(SETS["canvases"], FORMATS[name], tmp_path / "out", (ACCURACY,))
    known = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert known["class_names"] == ["T-shirt/top", "Trouser", "a b"]
    assert (known["mean"], known["std"]) == ([0.4, 0.5, 0.6], [0.2, 0.25, 0.3])
    assert (known["ipc"], known["factor"], known["protocol"]) == (2, 2, "paper")
    assert known["accuracies"][0]["interval"] == [0.5, 0.6]
    assert known["key"] == "0123456789abcdef" and known["spec"] == {"protocol": "paper", "seed": 0}
    assert known["images"] == ([6, 3, 16, 16] if name == "safetensors" else [24, 3, 16, 16])
    assert ("decoded" in known["images_hold"]) == (name != "safetensors")
    assert "55.00 ± 5.00 | 50.00 to 60.00" in (tmp_path / "out" / "README.md").read_text()


def test_safetensors_have_it_in_the_header_too_and_stay_our_format(tmp_path):
    from safetensors import safe_open

    export(SETS["canvases"], FORMATS["safetensors"], tmp_path / "out", (ACCURACY,))
    path = tmp_path / "out" / "synthetic_set.safetensors"
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["export"])
    assert header == json.loads((tmp_path / "out" / "metadata.json").read_text())
    loaded = SyntheticSet.load(path)
    assert torch.equal(loaded.images, SETS["canvases"].images) and loaded.partition == 2


def test_hugging_face_knows_features_classes_and_numbers(tmp_path):
    import datasets

    export(SETS["soft"], FORMATS["hf"], tmp_path / "out", (ACCURACY,))
    loaded = datasets.load_dataset(
        str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded.features["label"].names == ["T-shirt/top", "Trouser", "a b"]
    assert loaded.features["image"] == datasets.Image() and len(loaded) == 6
    assert torch.allclose(torch.tensor(loaded["soft_label"][:]).sum(1), torch.ones(6))
    head = yaml.safe_load((tmp_path / "out" / "README.md").read_text().split("---")[1])
    assert head["dataset_info"]["splits"][0]["num_examples"] == 6
    assert head["distillation"]["accuracies"][0]["mean"] == 0.55
    builder = datasets.load_dataset_builder(
        str(tmp_path / "out"), cache_dir=str(tmp_path / "cache")
    )
    assert builder.info.splits["train"].num_examples == 6


@pytest.mark.parametrize("name", EIGHT_BITS)
def test_the_loss_of_8_bits_is_stated(name, tmp_path):
    source = make(channels=1)
    source.images[0, 0, 0, :4] = torch.tensor([-0.5, 1.25, 0.5 / 255, 1.0])
    export(source, FORMATS[name], tmp_path / "out")
    loss = json.loads((tmp_path / "out" / "metadata.json").read_text())["pixel_loss"]
    numbers = source.images.numel()
    assert loss["largest"] == pytest.approx(0.5, abs=1e-5)
    assert loss["clipped"] == pytest.approx(2 / numbers)
    assert loss["mean"] == pytest.approx((0.5 + 0.25 + 0.5 / 255) / numbers, rel=1e-3)
    assert "clips 0.13 % of the values" in (tmp_path / "out" / "README.md").read_text()


def test_folders_sort_into_the_order_of_labels(tmp_path):
    names = tuple(f"class {i}" for i in range(12))
    export(make(names=names, ipc=1), FORMATS["imagefolder"], tmp_path / "out")
    folders = sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert folders == [f"{i:02d}_class-{i}" for i in range(12)]


@pytest.mark.parametrize("name", [name for name, kind in FORMATS.items() if not kind.soft_labels])
def test_soft_labels_are_refused_where_they_would_be_lost(name, tmp_path):
    with pytest.raises(
        ExportError, match=r"soft labels, which the format .* cannot hold; choose one of .*mtt"
    ):
        export(SETS["soft"], FORMATS[name], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["imagefolder", "ddranking"])
def test_a_class_without_images_is_refused_where_it_would_shift_the_labels(name, tmp_path):
    source = make()
    source.labels[source.labels == 1] = 2
    with pytest.raises(ExportError, match="'Trouser' has no image"):
        export(source, FORMATS[name], tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_only_an_earlier_export_of_the_same_set_is_replaced(tmp_path):
    place = tmp_path / "out"
    export(SETS["rgb"], FORMATS["mtt"], place)
    (place / "notes.txt").write_text("mine")
    export(SETS["rgb"], FORMATS["mtt"], place, (ACCURACY,))
    assert (
        "55.00" in (place / "README.md").read_text() and (place / "notes.txt").read_text() == "mine"
    )
    with pytest.raises(ExportError, match="not empty"):
        export(SETS["rgb"], FORMATS["dc"], place)
    assert list(tmp_path.iterdir()) == [place]


def test_an_unknown_format_is_named_with_the_nearest():
    with pytest.raises(ExportError, match="did you mean 'imagefolder'"):
        find_format("image-folder")


@pytest.mark.parametrize("made", ["gray", "rgb"])
def test_the_script_prints_accuracies(made, tmp_path, monkeypatch, capsys):
    from torchvision.utils import save_image

    source = SETS[made]
    export(source, FORMATS["dc"], tmp_path / "out")
    run_script(tmp_path / "out", monkeypatch)
    printed = capsys.readouterr().out
    assert re.search(r"accuracy on this set: \d", printed) and "test/<class>/" in printed
    # Folders in another order than the classes: names decide, not the order.
    for label, name in enumerate(name.replace("/", "_") for name in source.class_names):
        (tmp_path / "out" / "test" / name).mkdir(parents=True)
        save_image(torch.full((3, 16, 16), label / 9), tmp_path / "out" / "test" / name / "0.png")
    run_script(tmp_path / "out", monkeypatch)
    assert re.search(r"test accuracy: \d", capsys.readouterr().out)


def test_a_collection_has_a_configuration_per_set(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folders = {"DM-seed0": "DM/seed0", "DM-seed1": "DM/seed1"}
    for folder in folders.values():
        export(SETS["gray"], FORMATS["hf"], tmp_path / "all" / folder)
    (tmp_path / "all" / "README.md").write_text(build_collection_card("all", folders))
    found = datasets.get_dataset_config_names(str(tmp_path / "all"))
    assert sorted(found) == sorted(folders)
    one = datasets.load_dataset(str(tmp_path / "all"), "DM-seed1", split="train")
    assert len(one) == len(ExportContent.from_set(SETS["gray"]).labels)
    for card in (tmp_path / "all").rglob("README.md"):
        assert "\nlicense: " in card.read_text()
