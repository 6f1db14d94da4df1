"""What sets of others are taken for: from their pixels, entries, names and labels.

Each case is a file as some program writes it. It is read as it was meant and told, or asked about
with commands that answer.
"""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from distill_core.datasets.load import load_dataset
from distill_core.importers.choose_sets import build_set
from distill_core.importers.convert import NOTES, convert
from distill_core.importers.reading import ReadingOptions
from distill_core.importers.recognize import recognize_all
from distill_core.importers.whitening import compute_real_whitening
from distill_core.partition import tile
from distill_core.settings import DatasetRef, SettingsError
from orchestrator.launch.inputs.given_sets import FileOptions, read_given_sets
from orchestrator.planning.imported_sets import EvaluationRequest
from orchestrator.store.open import open_store

QUESTION = EvaluationRequest(
    dataset=DatasetRef(name="digits"), protocol="paper", architectures=("ConvNetW8",)
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return load_dataset(DatasetRef(name="digits"), tmp_path_factory.mktemp("data"))


def pick(digits, per_class, start=0):
    """Normalized images of every class, and their labels."""
    train = digits.train
    places = [torch.arange(o + start, o + start + per_class) for o in train.offsets]
    indices = torch.cat(places)
    return train.normalized(indices), train.labels[indices]


def draw_canvases(digits, start=0):
    """One 2 × 2 canvas of each class, normalized."""
    images, labels = pick(digits, 4, start)
    order = labels.argsort(stable=True).view(10, 4).T.flatten()
    return tile(images[order], 2), torch.arange(10)


@pytest.fixture
def read(digits, tmp_path):
    """Read what the user names; return the sets, what was printed, and the images as read."""
    store = open_store(tmp_path / "store")

    def read(*paths, name=None, **options):
        lines = []
        given = read_given_sets(
            [str(path) for path in paths],
            QUESTION,
            digits,
            store,
            FileOptions(options=ReadingOptions(**options), name=name, allow_pickle=True),
            lines.append,
        )
        made = []
        for each in given:
            unit = each.unit
            found = recognize_all(
                [type(tmp_path)(p) for p in (unit.path, *unit.more_paths)],
                allow_pickle=True,
                labels_path=unit.reading.labels_path,
            )
            raw = build_set(found, unit.reading)
            made.append(
                convert(raw, unit.reading, digits, method=unit.method, spec={}, check=False)
            )
        return given, "\n".join(lines), made

    return read


def refuse(read, *paths, **options):
    with pytest.raises(SettingsError) as refusal:
        read(*paths, **options)
    return str(refusal.value)


def save_dc(path, *pairs):
    torch.save({"data": [list(pair) for pair in pairs], "accs_all_exps": {}}, path)
    return path


# Canvases.


def test_the_final_result_of_idm_is_not_taken_for_whole_images(read, digits, tmp_path):
    path = save_dc(tmp_path / "res_DM_digits_ConvNet_1ipc.pt", draw_canvases(digits))
    said = refuse(read, path)
    assert "2 × 2" in said and f"{path} --factor 2 " in said and "--factor 1 " in said
    for factor in (2, 1):
        _, _, (made,) = read(path, partition=factor)
        assert made.partition == factor


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_whole_images_are_not_taken_for_canvases(read, digits, tmp_path, noise):
    images, labels = pick(digits, 1, start=3)
    images = images + noise * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    _, said, (made,) = read(save_dc(tmp_path / "res.pt", (images, labels)))
    assert made.partition == 1 and "(--factor 2 for IDM)" in said


def test_a_pickle_of_whole_images_is_not_cut(read, digits, tmp_path):
    import pickle

    (tmp_path / "set.pkl").write_bytes(pickle.dumps(pick(digits, 2)))
    said = refuse(read, tmp_path / "set.pkl")
    assert "--factor 1 " in said and "--factor 2 " in said
    (tmp_path / "set.pkl").write_bytes(pickle.dumps(draw_canvases(digits)))
    assert read(tmp_path / "set.pkl")[2][0].partition == 2


def test_canvases_are_suggested_where_the_layout_says_nothing(read, digits, tmp_path):
    images, labels = draw_canvases(digits)
    pixels = images * digits.info.std[0] + digits.info.mean[0]
    torch.save([pixels, labels], tmp_path / "data.pt")
    assert "pass --factor 2" in refuse(read, tmp_path / "data.pt")


# The space of pixels.


def test_whitened_images_in_a_layout_of_normalized_ones(read, digits, tmp_path):
    images, labels = pick(digits, 2)
    pixels = images * digits.info.std[0] + digits.info.mean[0]
    whitened = compute_real_whitening(digits.train).whiten(pixels)
    path = save_dc(tmp_path / "res_DataDAM.pt", (whitened, labels))
    said = refuse(read, path)
    assert "looks like ZCA-whitened images" in said and "--zca yes --normalised no" in said
    assert "ZCA-whitened" in refuse(read, path, zca=False, normalized=True)
    (given,), said, (made,) = read(path, zca=True, normalized=False)
    torch.testing.assert_close(made.images, pixels, rtol=0, atol=1e-4)
    assert "costs accuracy" in said and "costs accuracy" in given.note


def test_the_whitening_is_computed_once(read, digits, tmp_path, monkeypatch):
    from orchestrator.execution import whitenings

    images, labels = pick(digits, 2)
    pixels = images * digits.info.std[0] + digits.info.mean[0]
    whitened = compute_real_whitening(digits.train).whiten(pixels)
    path = save_dc(tmp_path / "res.pt", (whitened, labels))
    _, said, _ = read(path, zca=True)
    assert "computing the ZCA whitening of 1,438 real images, once for this store" in said
    monkeypatch.setattr(whitenings, "compute_whitening_slowly", None)
    _, said, (made,) = read(path, zca=True)
    assert "computing" not in said
    torch.testing.assert_close(made.images, pixels, rtol=0, atol=1e-4)
    (kept,) = (tmp_path / "store" / "whitenings").iterdir()
    kept.write_bytes(b"damaged")
    with pytest.raises(TypeError):  # it is computed again
        read(path, zca=True)


def test_strong_images_are_not_called_bytes_and_advice_is_not_repeated(read, digits, tmp_path):
    images, labels = pick(digits, 2)
    path = save_dc(tmp_path / "res.pt", (30 * images, labels))
    assert images.min() < 0 and (30 * images).max() > 20
    _, said, _ = read(path)
    assert "unusual pixels" in said
    torch.save([30 * images, labels], tmp_path / "data.pt")
    said = refuse(read, tmp_path / "data.pt", partition=1)
    assert "bytes" not in said and "pass --normalised yes" in said
    read(tmp_path / "data.pt", partition=1, normalized=True)


def test_images_in_minus_1_to_1(read, digits, tmp_path):
    images, labels = pick(digits, 2)
    pixels = images * digits.info.std[0] + digits.info.mean[0]
    torch.save({"images": 2 * pixels - 1, "labels": labels}, tmp_path / "set.pt")
    said = refuse(read, tmp_path / "set.pt")
    assert "--normalised 0.5,0.5 --factor 1" in said
    _, _, (made,) = read(tmp_path / "set.pt", partition=1, normalized=True, mean=(0.5,), std=(0.5,))
    torch.testing.assert_close(made.images, pixels, rtol=0, atol=1e-5)


# Several sets in one file.


def test_snapshots_of_one_run_are_not_repetitions(read, digits, tmp_path):
    images, labels = pick(digits, 1)
    draws = torch.Generator().manual_seed(0)
    snapshots = [images + s * torch.randn(images.shape, generator=draws) for s in (0.0, 0.1, 0.2)]
    path = save_dc(tmp_path / "res_DC.pt", *((each, labels) for each in snapshots))
    said = refuse(read, path)
    assert "snapshots of one run" in said and f"{path}#-1" in said and f"{path}#all" in said
    (given,), _, (made,) = read(f"{path}#-1")
    assert given.unit.seed == 0 and given.unit.reading.number == 2
    torch.testing.assert_close(
        (made.images - digits.info.mean[0]) / digits.info.std[0], snapshots[2]
    )
    assert len(read(f"{path}#all")[0]) == 3
    assert "numbers 0 to 2" in refuse(read, f"{path}#3")


def test_independent_runs_are_repetitions(read, digits, tmp_path):
    path = save_dc(tmp_path / "res.pt", pick(digits, 1), pick(digits, 1, 1), pick(digits, 1, 2))
    given, _, _ = read(path)
    assert [each.unit.seed for each in given] == [0, 1, 2]


def test_a_file_whose_name_has_a_number_sign(read, digits, tmp_path):
    path = save_dc(tmp_path / "res#1", pick(digits, 1))
    assert len(read(path)[0]) == 1


def test_steps_of_class_incremental_learning_are_parts_of_one_set(read, digits, tmp_path):
    images, labels = pick(digits, 2)
    steps = [(images[labels // 5 == s], labels[labels // 5 == s]) for s in (0, 1)]
    path = save_dc(tmp_path / "res.pt", *steps)
    said = refuse(read, path)
    assert "5, 5 of the 10 classes" in said and f"{path} --join " in said
    (given,), said, (made,) = read(path, join=True)
    assert made.labels.tolist() == [*steps[0][1].tolist(), *steps[1][1].tolist()]
    assert given.unit.ipc == 2 and "joined from 2 parts" in given.note
    files = [save_dc(tmp_path / f"step{s}.pt", step) for s, step in enumerate(steps)]
    assert "--join" in refuse(read, files[0])
    (given,), _, (again,) = read(*files, join=True)
    assert torch.equal(again.images, made.images) and len(given.unit.more_paths) == 1


def test_steps_that_number_their_classes_from_0_are_asked_about(read, digits, tmp_path):
    images, labels = pick(digits, 1)
    local = [(images[labels // 5 == s], labels[labels // 5 == s] % 5) for s in (1, 0)]
    path = save_dc(tmp_path / "res.pt", *local)
    assert "--classes order" in refuse(read, path, join=True)
    classes = ("5", "6", "7", "8", "9", "0", "1", "2", "3", "4")
    _, _, (made,) = read(path, join=True, classes=classes)
    assert made.labels.tolist() == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]


# Labels.


def shuffle(images, labels):
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    return images[order], labels[order]


@pytest.mark.parametrize(
    ("image_file", "label_file"),
    [
        ("CIFAR10_IPC10_images.pt", "CIFAR10_IPC10_labels.pt"),
        ("Images.PT", "Labels.PT"),
        ("x_train.npy", "y_train.npy"),
        ("syn_images_100.pt", "syn_labels_100.pt"),
        ("images.pt", "soft_labels.pt"),
        ("image.npy", "target.npy"),
    ],
)
def test_images_find_their_labels(read, digits, tmp_path, image_file, label_file):
    images, labels = shuffle(*pick(digits, 2))
    stored = torch.eye(10)[labels] if "soft" in label_file else labels
    for name, value in ((image_file, images), (label_file, stored)):
        if name.endswith("npy"):
            np.save(tmp_path / name, value.numpy())
        else:
            torch.save(value, tmp_path / name)
    for path in (tmp_path / image_file, tmp_path):
        (given,), _, (made,) = read(path, zca=False, normalized=True, name="x")
        assert torch.equal(made.labels, labels) and label_file in given.note


def test_labels_under_another_name_are_never_ignored(read, digits, tmp_path):
    images, labels = shuffle(*pick(digits, 2))
    torch.save(images, tmp_path / "images.pt")
    torch.save(labels, tmp_path / "the_labels_v2.pt")
    options = {"zca": False, "normalized": True}
    said = refuse(read, tmp_path / "images.pt", **options)
    assert "--labels none" in said and f"--labels {tmp_path}/the_labels_v2.pt" in said
    chosen = str(tmp_path / "the_labels_v2.pt")
    _, _, (made,) = read(tmp_path / "images.pt", labels_path=chosen, **options)
    assert torch.equal(made.labels, labels)
    (given,), _, (made,) = read(tmp_path / "images.pt", labels_path="none", **options)
    assert made.labels.tolist() == sorted(labels.tolist()) and "class by class" in given.note


def test_labels_of_other_images_are_left_alone(read, digits, tmp_path):
    images, labels = pick(digits, 1)
    torch.save(images, tmp_path / "a_images.pt")
    torch.save(images, tmp_path / "b_images.pt")
    torch.save(labels, tmp_path / "b_labels.pt")
    (given,), _, _ = read(tmp_path / "a_images.pt", zca=False, normalized=True)
    assert "class by class" in given.note
    said = refuse(read, tmp_path, zca=False, normalized=True)
    assert f"{tmp_path}/a_images.pt" in said and f"{tmp_path}/b_images.pt" in said


# Class folders.


def write_folders(folder, digits, names, suffix="png"):
    images, labels = pick(digits, 2)
    pixels = ((images * digits.info.std[0] + digits.info.mean[0]) * 255).round().clamp(0, 255)
    for number, (image, label) in enumerate(zip(pixels, labels.tolist(), strict=True)):
        place = folder / names[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].byte().numpy()).save(place / f"{number}.{suffix}")
    return labels


WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def test_folders_of_which_only_the_order_is_known_are_refused(read, digits, tmp_path):
    folder = tmp_path / "set"
    write_folders(folder, digits, WORDS)
    said = refuse(read, folder)
    assert "--classes order" in said and "eight → 0" in said and "FOLDER=CLASS" in said
    pairs = tuple(f"{word}={number}" for number, word in enumerate(WORDS))
    (given,), said, (made,) = read(folder, classes=pairs)
    assert torch.equal(
        made.images[made.labels == 8], read(folder, classes=("order",))[2][0].images[:2]
    )
    assert "eight → 8" in given.note and "no soft labels" in given.note


@pytest.mark.parametrize("form", ["new{:03d}", "class{}", "{:02d}", "{}_digit", "²{}"], ids=str)
def test_numbers_in_names_of_folders(read, digits, tmp_path, form):
    folder = tmp_path / "set"
    write_folders(folder, digits, [form.format(number) for number in range(10)])
    if form == "{}_digit":
        assert "--classes" in refuse(read, folder)
        return
    (given,), _, (made,) = read(folder)
    assert made.labels.tolist() == [n for n in range(10) for _ in range(2)]
    assert "classes by n" in given.note


def test_numbers_that_begin_at_1_are_asked_about(read, digits, tmp_path):
    folder = tmp_path / "set"
    write_folders(folder, digits, [f"class{number + 1}" for number in range(10)])
    assert "--classes order" in refuse(read, folder)
    assert read(folder, classes=("order",))[2][0].labels.tolist() == sorted([*range(10)] * 2)


def test_soft_labels_of_class_folders_are_used_or_asked_about(read, digits, tmp_path):
    folder = tmp_path / "sets" / "set"
    labels = write_folders(folder, digits, [f"new{n:03d}" for n in range(10)])
    paths = sorted(folder.glob("*/*.png"), key=lambda path: (path.parent.name, path.name))
    rows = torch.eye(10)[[int(path.parent.name[3:]) for path in paths]] * 0.7 + 0.03
    torch.save(rows, folder / "labels.pt")
    (given,), said, (made,) = read(folder)
    assert made.soft_labels is not None and torch.equal(made.labels, labels)
    assert "soft labels name the class of the folder for 100%" in said
    (folder / "labels.pt").rename(folder.parent / "soft_labels.pt")
    assert read(folder)[2][0].soft_labels is not None
    (given,), _, (made,) = read(folder, labels_path="none")
    assert made.soft_labels is None and "published figures" in given.note
    torch.save(rows.flip(0), folder.parent / "soft_labels.pt")
    assert "--labels none" in refuse(read, folder)
    (folder.parent / "soft_labels.pt").rename(folder / "labels.json")
    assert "labels.json" in refuse(read, folder)


def test_files_that_are_passed_over_are_counted(read, digits, tmp_path):
    folder = tmp_path / "set"
    write_folders(folder, digits, [f"{n}" for n in range(10)])
    (folder / "3" / "Thumbs.db").write_text("x")
    (folder / "list.csv").write_text("x")
    (given,), _, _ = read(folder)
    assert re.search(
        "2 files that are no images were passed over: Thumbs.db, list.csv|"
        "2 files that are no images were passed over: list.csv",
        given.note,
    )


# Names.


def test_names_are_cleaned_and_cut_where_they_come_in(read, digits, tmp_path):
    path = save_dc(tmp_path / "res.pt", pick(digits, 1))
    (given,), said, (made,) = read(path, name="a\x1b[31mb\x00\x07\x9b\u202ec" + "d" * 5000)
    assert given.method.startswith("a[31mbcd") and len(given.method) == 80
    assert "cut from the name" in said and made.method == given.method


def test_what_was_assumed_is_kept_with_the_set(read, digits, tmp_path):
    torch.save(pick(digits, 1)[0], tmp_path / "images.pt")
    (given,), said, (made,) = read(tmp_path / "images.pt", zca=False, normalized=True)
    (note,) = made.spec[NOTES]
    assert "class by class" in note and note in said and note in given.note


def test_labels_that_do_not_fit_the_images_are_doubted(read, digits, tmp_path):
    images, labels = pick(digits, 2)
    path = save_dc(tmp_path / "res.pt", (images, labels))
    assert "doubtful" not in read(path)[1]
    torch.save(shuffle(images, labels)[0], tmp_path / "images.pt")
    options = {"zca": False, "normalized": True}
    assert "--labels none" in refuse(read, tmp_path / "images.pt", **options)
    (given,), said, _ = read(tmp_path / "images.pt", labels_path="none", **options)
    assert "no more like their classes than by chance" in said and "doubtful" in given.note


def test_one_set_given_twice_is_counted_once(read, digits, tmp_path):
    path = save_dc(tmp_path / "a.pt", pick(digits, 1))
    (tmp_path / "b.pt").write_bytes(path.read_bytes())
    given, said, _ = read(path, tmp_path / "b.pt", path, name="x")
    assert len(given) == 1 and said.count("counted once") == 2
    assert len(read(path, tmp_path / "b.pt")[0]) == 2  # as two methods


def test_a_wrong_word_about_whitened_images_is_not_kept_in_the_answer(read, digits, tmp_path):
    images, labels = pick(digits, 2)
    pixels = images * digits.info.std[0] + digits.info.mean[0]
    torch.save(compute_real_whitening(digits.train).whiten(pixels), tmp_path / "images.pt")
    torch.save(labels, tmp_path / "labels.pt")
    said = refuse(read, tmp_path / "images.pt", normalized=True)
    assert "--zca yes --normalised no " in said


def test_labels_that_count_from_1(read, digits, tmp_path):
    images, labels = pick(digits, 1)
    said = refuse(read, save_dc(tmp_path / "res.pt", (images, labels + 1)))
    assert "save labels − 1" in said
