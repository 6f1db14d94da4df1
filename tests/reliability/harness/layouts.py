"""Folders of images as they lie around, drawn by Hypothesis, and the remedies of messages followed.

The pixels of each image say its class and its number, so a test knows what was read as what.
"""

import csv
import io
import os
import re
import shutil
import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from PIL import Image

from distill_core.settings import DatasetRef

NAMES = (
    "cat",
    "dog",
    "café",
    "Å",
    "0",
    "1",
    "10",
    "class ten",
    "日本",
    "a.b",
    "²",
    "-x",
    "#1",
    "x'y",
)
TRAIN = ("train", "Train", "TRAINING", "pictures", None)
TEST = (None, "test", "Test", "val", "Validation", "testing", "eval", "holdout")
ODD = (
    "ds_store", "appledouble", "macosx", "thumbs", "readme", "broken link", "link to itself",
    "link up", "pipe", "empty class", "empty image", "truncated", "gif", "outside", "nested",
    "linked class", "upper suffix", "wrong suffix", "odd bytes", "trash", "second train",
)  # fmt: skip
TEST_CLASSES = ("same", "decomposed", "upper", "extra", "lacking", "unlabeled")
CSV_NAMES = ("labels.csv", "trainLabels.csv", "train.csv", "meta.tsv")
CSV_ODD = (
    "no suffix", "bom", "latin-1", "two columns", "odd column", "empty label", "two labels",
    "row too long", "absent image", "image without row", "second file", "subfolder in name",
)  # fmt: skip
PARQUET_ODD = (
    "strings", "categories", "bool", "plain bytes", "img", "odd image column", "odd label column",
    "two label columns", "shards", "missing shard", "data folder", "label out of range",
    "null image", "not parquet", "null label",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """How a data set lies in its folder."""

    container: str
    classes: tuple[str, ...]
    train: str | None = "train"
    test: str | None = None
    test_classes: str = "same"
    wrapped: int = 0
    odd: frozenset[str] = frozenset()
    table: str = "labels.csv"


@st.composite
def cases(draw):
    container = draw(st.sampled_from(("folders", "folders", "csv", "parquet")))
    odd = {"folders": ODD, "csv": (*CSV_ODD, *ODD[:9]), "parquet": PARQUET_ODD}[container]
    train, test = draw(st.sampled_from(TRAIN)), draw(st.sampled_from(TEST))
    return Case(
        container=container,
        classes=tuple(draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=3, unique=True))),
        train=train,
        # Beside class folders nobody can know that this one is no class.
        test=test if train or test != "holdout" else None,
        test_classes=draw(st.sampled_from(TEST_CLASSES)),
        wrapped=draw(st.sampled_from((0, 0, 1, 2))),
        odd=frozenset(draw(st.lists(st.sampled_from(odd), max_size=3))),
        table=draw(st.sampled_from(CSV_NAMES)),
    )


def encode(code, serial, kind="PNG"):
    pixels = np.full((4, 4), 8 * serial % 256, np.uint8)
    pixels[0], pixels[1] = 20 * (code + 1), serial
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def decode(content):
    """Return class and number of an image, or None if it cannot be read."""
    try:
        pixels = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
        return int(pixels[0, 0]) // 20 - 1, int(pixels[1, 0])
    except OSError:
        return None


def nfd(name):
    return unicodedata.normalize("NFD", name)


@dataclass
class Tree:
    """A case on disk."""

    root: Path
    case: Case
    visible: dict[int, int] = field(default_factory=dict)
    """Class of each image that a user would expect to be used, by its number."""
    hidden: set[int] = field(default_factory=set)
    """Numbers of images that must not be used."""
    ref: DatasetRef | None = None
    serial: int = 0
    followed: list[str] = field(default_factory=list)

    def picture(self, path, code, *, hidden=False, kind="PNG", content=None):
        self.serial += 1
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(code, self.serial, kind) if content is None else content)
        if hidden or content is not None:
            self.hidden.add(self.serial)
        else:
            self.visible[self.serial] = code
        return path


def build(case, root):
    tree = Tree(root, case)
    form = "parquet" if case.container == "parquet" else "imagefolder"
    tree.ref = DatasetRef(name="mine", format=form, path="mine")
    top = root / "mine"
    for number in range(case.wrapped):
        top = top / f"inner{number}"
    top.mkdir(parents=True)
    {"folders": _build_folders, "csv": _build_csv, "parquet": _build_parquet}[case.container](
        tree, top
    )
    return tree


def _build_folders(tree, top):
    case, odd = tree.case, tree.case.odd
    train = top / case.train if case.train else top
    suffix = ".PNG" if "upper suffix" in odd else ".jpg" if "wrong suffix" in odd else ".png"
    for code, name in enumerate(case.classes):
        place = train / name
        if "linked class" in odd and code == 0:
            target = tree.root / "elsewhere"
            target.mkdir()
            train.mkdir(exist_ok=True)
            place.symlink_to(target)
        inner = place / "sub" if "nested" in odd and code == 1 else place
        for number in range(5):
            tree.picture(inner / f"{number}{suffix}", code)
    if case.test:
        _build_test(tree, top / case.test, suffix)
    first = train / case.classes[0]
    if "second train" in odd and (case.train or "").lower() in ("train", "training"):
        other = "training" if case.train.lower() == "train" else "train"
        tree.picture(top / other / case.classes[0] / "x.png", 0, hidden=True)
    if "empty class" in odd:
        (train / "zzz empty").mkdir()
    if "gif" in odd:
        tree.picture(first / "moving.gif", 0, kind="GIF")
    if "outside" in odd:
        tree.picture(train / "outside.png", 0)
    _add_clutter(tree, top, first, odd)


def _build_test(tree, test, suffix):
    case = tree.case
    rename = {"decomposed": nfd, "upper": str.upper}.get(case.test_classes, str)
    for code, name in enumerate(case.classes):
        if case.test_classes == "lacking" and code == 0:
            continue
        place = test if case.test_classes == "unlabeled" else test / rename(name)
        for number in range(2):
            name = f"{code}-{number}{suffix}"
            tree.picture(place / name, code, hidden=case.test_classes == "unlabeled")
    if case.test_classes == "extra":
        tree.picture(test / "another class" / f"0{suffix}", 7, hidden=True)


def _add_clutter(tree, top, first, odd):
    first.mkdir(parents=True, exist_ok=True)
    if "ds_store" in odd:
        (top / ".DS_Store").write_bytes(b"\0")
        (first / ".DS_Store").write_bytes(b"\0")
    if "appledouble" in odd:
        tree.picture(first / "._0.png", 0, content=b"\0\5\x16\7")
    if "macosx" in odd:
        tree.picture(top / "__MACOSX" / "x" / "0.png", 1, hidden=True)
    if "thumbs" in odd:
        (first / "Thumbs.db").write_bytes(b"\0")
    if "readme" in odd:
        (top / "README.txt").write_text("about these images\n")
    if "broken link" in odd:
        (first / "gone.png").symlink_to("nowhere.png")
    if "link to itself" in odd:
        (first / "round.png").symlink_to("round.png")
    if "link up" in odd:
        (first / "up").symlink_to(top, target_is_directory=True)
    if "pipe" in odd:
        os.mkfifo(first / "pipe.png")
    if "empty image" in odd:
        tree.picture(first / "empty.png", 0, content=b"")
    if "truncated" in odd:
        tree.picture(first / "cut.png", 0, content=encode(0, 1)[:45])
    if "odd bytes" in odd:
        tree.picture(first / "caf\udce9.png", 0)
    if "trash" in odd:
        tree.picture(top / ".Trash" / "0.png", 1, hidden=True)


def _build_csv(tree, top):
    case, odd = tree.case, tree.case.odd
    images = top / case.train if case.train else top / "images"
    rows = []
    for code, label in enumerate(case.classes):
        for number in range(5):
            inner = images / f"part{number % 2}" if "subfolder in name" in odd else images
            path = tree.picture(inner / f"{code}{number}.png", code)
            shown = path.relative_to(images)
            rows.append([str(shown.with_suffix("") if "no suffix" in odd else shown), label])
    header = ["image_id", "breed" if "odd column" in odd else "label"]
    if "two columns" in odd:
        header = ["image_id", "genus", "breed"]
        rows = [[name, "all", label] for name, label in rows]
    if "absent image" in odd:
        rows.append(["not-there.png", *rows[0][1:]])
    if "two labels" in odd:
        rows.append([rows[0][0], *rows[-1][1:]])
    if "empty label" in odd:
        rows[1] = [rows[1][0], *["" for _ in rows[1][1:]]]
    if "row too long" in odd:
        rows[2] = [*rows[2], "more"]
    if "image without row" in odd:
        rows.pop(3)
    write_table(top / case.table, [header, *rows], odd)
    if "second file" in odd:
        write_table(top / "other.csv", [header, *rows], odd)
    _add_clutter(tree, top, images, odd)


def write_table(path, rows, odd=frozenset()):
    if not all(char < "\u0100" for char in str(rows)):
        odd = odd - {"latin-1"}
    encoding = "utf-8-sig" if "bom" in odd else "latin-1" if "latin-1" in odd else "utf-8"
    with path.open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream, delimiter="\t" if path.suffix == ".tsv" else ",").writerows(rows)


def _build_parquet(tree, top):
    case, odd = tree.case, tree.case.odd
    place = top / "data" if "data folder" in odd else top
    place.mkdir(exist_ok=True)
    name = (case.train or "train").lower()
    codes = [code for code in range(len(case.classes)) for _ in range(5)]
    table = _make_table(tree, codes)
    if "shards" in odd or "missing shard" in odd:
        count = 3 if "missing shard" in odd else 2
        for shard in range(2):
            part = table.slice(shard * 5, None if shard else 5)
            pq.write_table(part, place / f"{name}-{shard:05}-of-{count:05}.parquet")
    else:
        pq.write_table(table, place / f"{name}.parquet")
    if "not parquet" in odd:
        (place / f"{name}.parquet").write_bytes(b"<html>not found</html>")
        tree.visible.clear()
    if case.test:
        unlabeled = case.test_classes == "unlabeled"
        tested = _make_table(tree, [0, 1], unlabeled=unlabeled)
        pq.write_table(tested, place / f"{case.test}.parquet")


def _make_table(tree, codes, *, unlabeled=False):
    case, odd = tree.case, tree.case.odd
    images, labels = [], []
    for row, code in enumerate(codes):
        tree.serial += 1
        if unlabeled:
            tree.hidden.add(tree.serial)
        else:
            tree.visible[tree.serial] = code
        images.append(encode(code, tree.serial))
        labels.append(code)
        if row == 1 and not unlabeled:
            if "null image" in odd:
                images[-1] = None
            if "null label" in odd:
                labels[-1] = None
            if "label out of range" in odd and not {"strings", "categories"} & odd:
                labels[-1] = 999
    if unlabeled:
        labels = [-1] * len(labels)
    elif "strings" in odd or "categories" in odd:
        labels = [
            None if code is None else case.classes[code % 9 % len(case.classes)] for code in labels
        ]
    elif "bool" in odd and len(case.classes) == 2 and set(labels) <= {0, 1}:
        labels = [bool(code) for code in labels]
    column = pa.array(labels)
    if "categories" in odd and not unlabeled:
        column = column.dictionary_encode()
    content = pa.array(images, pa.binary())
    if "plain bytes" not in odd:
        paths = pa.nulls(len(images), pa.string())
        content = pa.StructArray.from_arrays([content, paths], ["bytes", "path"])
    image = "x_ray" if "odd image column" in odd else "img" if "img" in odd else "image"
    label = "diagnosis" if "odd label column" in odd else "label"
    columns = {image: content, label: column}
    if "two label columns" in odd and label == "label":
        columns["coarse_label"] = pa.array([0] * len(images))
    return pa.table(columns)


def _images_below(folder):
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in (".png", ".jpg") and path.is_file() and path.name[0] != ".":
            read = decode(path.read_bytes())
            if read is not None and read[0] >= 0:
                found.append((path, read))
    return found


def _label_all(tree, folder):
    rows = [["file", "label"]]
    for path, (code, serial) in _images_below(folder):
        if code < len(tree.case.classes):
            rows.append([path.relative_to(folder).as_posix(), tree.case.classes[code]])
            tree.hidden.discard(serial)
            tree.visible[serial] = code
    write_table(folder / "labels.csv", rows)


def _forget(tree, path):
    for each in [path] if path.is_file() else [each for each, _ in _images_below(path)]:
        read = decode(each.read_bytes())
        if read is not None:
            tree.visible.pop(read[1], None)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _remove_listed(tree, message):
    removed = 0
    for line in message.splitlines()[1:]:
        place = line.strip().split(": ")[0]
        for path in (Path(place), *tree.root.rglob("*")):
            shown = os.fsencode(path).decode("utf-8", "backslashreplace")
            if unicodedata.normalize("NFC", shown) == place and os.path.lexists(path):
                path.unlink()
                removed += 1
                break
    return removed > 0


def _rewrite_table(tree, path, change):
    delimiter = "\t" if path.suffix == ".tsv" else ","
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        text = path.read_text(encoding="latin-1")
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    write_table(path, change(rows))
    tree.case = replace(tree.case, odd=tree.case.odd - {"latin-1", "bom"})
    return True


def _unify(rows):
    width = len(rows[0])
    return [row[:width] for row in rows]


def follow(tree, message):
    """Do what a message asks for; False if it asks for nothing that can be done."""
    tree.followed.append(message)
    assert len(tree.followed) <= 8, tree.followed
    for pattern, remedy in REMEDIES:
        found = re.search(pattern, message, re.DOTALL)
        if found:
            return remedy(tree, found, message) is not False
    return False


def _place(text):
    return Path(text.strip())


def _move_train(tree, found, message):
    folder = _place(found[1])
    train = folder / (tree.case.train or "x")
    if train.is_dir():
        train.rename(folder / "train")
        return True
    target = folder / "train"  # class folders beside the test split
    target.mkdir()
    for path in list(folder.iterdir()):
        if path.is_dir() and path.name not in ("train", tree.case.test) and path.name[0] != ".":
            path.rename(target / path.name)
    return True


def _name_splits(tree, found, message):
    (_place(found[1]) / tree.case.train).rename(_place(found[1]) / "train")
    (_place(found[1]) / tree.case.test).rename(_place(found[1]) / "test")


def _remove_folder(tree, found, message):
    return _forget(tree, _place(found[1]))


def _keep_one(tree, found, message):
    folder = _place(found[1])
    for name in found[2].split(", "):
        if name != tree.case.train:
            _forget(tree, folder / name)


def _merge_twice(tree, found, message):
    folder = _place(found[1])
    for path in list(folder.parent.iterdir()):
        if path != folder and nfd(path.name) == nfd(folder.name):
            for each in path.iterdir():
                each.rename(folder / f"merged-{each.name}")
            path.rmdir()


def _name_label_column(tree, found, message):
    odd = tree.case.odd
    name = "breed" if tree.case.container == "csv" else "diagnosis"
    tree.ref = replace(tree.ref, label_column=name)
    return bool({"two columns", "odd column", "odd label column"} & odd)


def _get_parquet_again(tree, found, message):
    """Write what the file should have been."""
    case = tree.case
    for path in (tree.root / "mine").rglob("*.parquet"):
        path.unlink()
    tree.visible.clear()
    bad = {"missing shard", "label out of range", "null image", "not parquet", "null label"}
    tree.case = replace(case, odd=case.odd - bad)
    top = tree.root / "mine"
    for number in range(case.wrapped):
        top = top / f"inner{number}"
    _build_parquet(tree, top)


def _add_pictures(tree, found, message):
    names = [unicodedata.normalize("NFC", name) for name in tree.case.classes]
    for path in (tree.root / "mine").rglob("*"):
        if path.is_dir() and unicodedata.normalize("NFC", path.name) == found[1]:
            for number in range(4):
                tree.picture(path / f"more{number}.png", names.index(found[1]))
            return True
    return False


def _rename_parquet(tree, found, message):
    done = False
    for path in (tree.root / "mine").rglob("*.parquet"):
        if path.name.startswith((tree.case.train or "x").lower()):
            path.rename(path.with_name(f"train{path.name[len(tree.case.train) :]}"))
            done = True
    return done


def _name_inner_folder(tree, found, message):
    inner = "/".join(f"inner{number}" for number in range(tree.case.wrapped))
    if not inner or tree.ref.path != "mine":
        return False
    tree.ref = replace(tree.ref, path=f"mine/{inner}")
    return True


REMEDIES = (
    (r"has no image bytes; write the data set", _get_parquet_again),
    (r"^(.*?): images lie directly in it, and no CSV", lambda t, f, m: _label_all(t, _place(f[1]))),
    (r"^(.*?): no images in its class folders.*remove it", _remove_folder),
    (r"^(.*?): has .*, but no folder train; rename", _move_train),
    (r"^(.*?): has (.*); keep one training split", _keep_one),
    (r"^(.*?): .* is there twice, in two encodings", _merge_twice),
    (r"images? cannot be read:", lambda t, f, m: _remove_listed(t, m)),
    (r"^[^\n]*(replace or remove it|not a regular file; remove it)$",
     lambda t, f, m: _remove_listed(t, f"\n{m}")),
    (r"rename the training file to train.parquet", lambda t, f, m: _rename_parquet(t, f, m)),
    (r"^(.*?): \S+ and \S+ both have folders .*rename them to train and test", _name_splits),
    (r"^(.*?): \S+ has folders .* has none.*rename them to train and test", _name_splits),
    (r"label_column: (\S+) to take those of the file",
     lambda t, f, m: setattr(t, "ref", replace(t.ref, label_column=f[1]))),
    (r"^\S+: class '(.*)' has one image.*add images", _add_pictures),
    (r"write the file without them", _get_parquet_again),
    (r"class '(.*)' has no training images in (.*?)(;| \().*remove the class",
     lambda t, f, m: [_forget(t, path) for path in t.root.rglob(f[1]) if path.is_dir()] != []),
    (r"^(.*?): .* has no class of that name.*(rename|remove)", _remove_folder),
    (r"^(.*?): not a CSV file in UTF-8.*write it again",
     lambda t, f, m: _rewrite_table(t, _place(f[1]), list)),
    (r"^(.*?), line \d+: has other columns than the first line; correct it",
     lambda t, f, m: _rewrite_table(t, _place(f[1]), _unify)),
    (r"^(.*?): \S+ has no label; add it, or remove the row", lambda t, f, m: _rewrite_table(
        t, _place(f[1]), lambda rows: [row for row in rows if row[-1]])),
    (r"^(.*?): (\S+) has two labels, .* keep one", lambda t, f, m: _rewrite_table(
        t, _place(f[1]), lambda rows: rows[:1] + list({row[0]: row for row in rows[:0:-1]}.values())
    )),
    (r"name one with label_column|\(label_column\)", _name_label_column),
    (r"name one with image_column",
     lambda t, f, m: setattr(t, "ref", replace(t.ref, image_column="x_ray"))),
    (r"^(.*?): (.*), other.csv all name its images; keep", lambda t, f, m: next(
        t.root.rglob("other.csv")).unlink()),
    (r"other.csv, .* all name its images; keep", lambda t, f, m: next(
        t.root.rglob("other.csv")).unlink()),
    (r"get the others|get it again|get the file again|get a version", _get_parquet_again),
    (r"label 999|label_column is null|has no label", _get_parquet_again),
    (r"check the path of this data set", _name_inner_folder),
    (r"no train.parquet or train-\*.parquet in", _rename_parquet),
)  # fmt: skip
"""What messages ask for, and doing it."""
