"""Records of data sets: names, shapes, classes, normalization, and where to get them.

Planning reads them, so they are plain data without torch and numpy.
"""

import difflib
from dataclasses import dataclass

from distill_core.settings import DatasetRef


class DatasetError(ValueError):
    """A data set is unknown, missing or damaged; the message says where and what to do."""


LOSSLESS = ("PNG", "BMP", "PPM", "TIFF")
"""Formats that give back the pixels that they were given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetInfo:
    """The record of a data set.

    It includes mean and standard deviation, because codebases normalize the same images
    differently.
    """

    name: str
    """Name in settings, keys and tables."""
    title: str
    """Name in reports."""
    channels: int
    """1 gray, 3 RGB."""
    image_size: int
    """Side in pixels; all images are square."""
    classes: tuple[str, ...]
    """Class names in the order of the labels."""
    mean: tuple[float, ...]
    """Mean of each channel, pixels in [0, 1]."""
    std: tuple[float, ...]
    """Standard deviation of each channel, pixels in [0, 1]."""
    train_images: int
    """Size of the training set."""
    test_images: int
    """Size of the test set."""
    source: str
    """How to get the files, in one sentence."""
    version: int = 1
    """Increased when the images of the data set change."""
    formats: tuple[str, ...] = LOSSLESS
    """Formats of image files that hold the data set's own pixels."""
    pixel_mean: tuple[float, ...] = ()
    """Published mean of each channel, by which images that come as files are checked."""


TEN_DIGITS = tuple("0123456789")
CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_CIFAR100_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""
CIFAR100_CLASSES = tuple(_CIFAR100_NAMES.split())
CIFAR10_MEAN, CIFAR10_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)

_INFOS = (
    DatasetInfo(
        name="digits",
        title="Digits",
        channels=1,
        image_size=32,
        classes=TEN_DIGITS,
        mean=(0.3052,),
        std=(0.3236,),
        train_images=1438,
        test_images=359,
        source="comes with scikit-learn",
    ),
    DatasetInfo(
        name="mnist",
        title="MNIST",
        channels=1,
        image_size=28,
        classes=TEN_DIGITS,
        mean=(0.1307,),
        std=(0.3081,),
        train_images=60_000,
        test_images=10_000,
        pixel_mean=(0.1307,),
        source=(
            "--download fetches it, or put the four idx files (plain or .gz) of MNIST"
            " (yann.lecun.com/exdb/mnist) into mnist/ in the data folder"
        ),
    ),
    DatasetInfo(
        name="fashionmnist",
        title="FashionMNIST",
        channels=1,
        image_size=28,
        classes=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        mean=(0.2861,),
        std=(0.3530,),
        train_images=60_000,
        test_images=10_000,
        pixel_mean=(0.2860,),
        source=(
            "--download fetches it, or put the four idx files (plain or .gz) of "
            "github.com/zalandoresearch/fashion-mnist into fashionmnist/ in the data folder"
        ),
    ),
    DatasetInfo(
        name="svhn",
        title="SVHN",
        channels=3,
        image_size=32,
        classes=TEN_DIGITS,
        mean=(0.4377, 0.4438, 0.4728),
        std=(0.1980, 0.2010, 0.1970),
        train_images=73_257,
        test_images=26_032,
        pixel_mean=(0.4377, 0.4438, 0.4728),
        source=(
            "--download fetches it, or put train_32x32.mat and test_32x32.mat of "
            "ufldl.stanford.edu/housenumbers into svhn/ in the data folder"
        ),
    ),
    DatasetInfo(
        name="cifar10",
        title="CIFAR-10",
        channels=3,
        image_size=32,
        classes=CIFAR10_CLASSES,
        mean=CIFAR10_MEAN,
        std=CIFAR10_STD,
        train_images=50_000,
        test_images=10_000,
        pixel_mean=CIFAR10_MEAN,
        source=(
            "--download fetches it, or unpack cifar-10-python.tar.gz of"
            " www.cs.toronto.edu/~kriz/cifar.html into cifar10/ in the data folder"
        ),
    ),
    DatasetInfo(
        name="cifar10-jpeg",
        title="CIFAR-10 (JPEG)",
        channels=3,
        image_size=32,
        classes=CIFAR10_CLASSES,
        mean=CIFAR10_MEAN,
        std=CIFAR10_STD,
        train_images=50_000,
        test_images=10_000,
        pixel_mean=CIFAR10_MEAN,
        formats=("JPEG",),
        source=(
            "put CIFAR-10 re-encoded as JPEG, in the Hugging Face image layout, at"
            " cifar10/train.parquet and cifar10/test.parquet in the data folder"
        ),
    ),
    DatasetInfo(
        name="cifar100",
        title="CIFAR-100",
        channels=3,
        image_size=32,
        classes=CIFAR100_CLASSES,
        mean=(0.5071, 0.4866, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        train_images=50_000,
        test_images=10_000,
        pixel_mean=(0.5071, 0.4866, 0.4409),
        source=(
            "--download fetches it, or unpack cifar-100-python.tar.gz of"
            " www.cs.toronto.edu/~kriz/cifar.html into cifar100/ in the data folder"
        ),
    ),
    DatasetInfo(
        name="tinyimagenet",
        title="TinyImageNet",
        channels=3,
        image_size=64,
        classes=tuple(map(str, range(200))),  # the files name them
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        train_images=100_000,
        test_images=10_000,
        pixel_mean=(0.4802, 0.4481, 0.3975),
        formats=("JPEG", *LOSSLESS),
        source=(
            "unpack tiny-imagenet-200.zip of cs231n.stanford.edu into tinyimagenet/ in the data"
            " folder, or put tinyimagenet.pt there"
        ),
    ),
)

REGISTRY: dict[str, DatasetInfo] = {info.name: info for info in _INFOS}
"""Data sets that are known by name. TinyImageNet's classes are numbers until its files are read."""


def find_registered(name: str) -> DatasetInfo:
    """Return the record of a registered data set.

    Raises:
        DatasetError: no data set has that name; the message suggests the nearest one.
    """
    if name in REGISTRY:
        return REGISTRY[name]
    nearest = difflib.get_close_matches(name.lower(), REGISTRY, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(REGISTRY)}."
    raise DatasetError(
        f"no data set {name!r}; {hint} A custom data set also needs format and path."
    )


def resolve_registered(ref: DatasetRef) -> DatasetInfo | None:
    """Return the record of a reference, or None for a custom data set.

    Raises:
        DatasetError: the name is unknown, or the reference contradicts the record of that name.
    """
    if ref.format is not None:
        if ref.name in REGISTRY:
            raise DatasetError(
                f"{ref.name!r} is a known data set; give the one in {ref.path} another name"
            )
        return None
    info = find_registered(ref.name)
    if ref.version != info.version:
        raise DatasetError(f"data set {ref.name!r} has version {info.version}, not {ref.version}")
    if ref.image_size not in (None, info.image_size):
        raise DatasetError(
            f"data set {ref.name!r} has images of {info.image_size} pixels, not {ref.image_size};"
            " omit image_size"
        )
    if ref.num_classes not in (None, len(info.classes)):
        raise DatasetError(
            f"data set {ref.name!r} has {len(info.classes)} classes, not {ref.num_classes}; omit"
            " num_classes"
        )
    return info
