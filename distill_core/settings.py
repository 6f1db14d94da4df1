"""The settings of every step of dataset distillation, with the published values as defaults.

This module is plain data: it imports neither torch nor numpy, so planning and reporting read and
hash settings quickly. Names follow the released code of DC, DSA, DM and IDM where it has one.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

Precision = Literal["float32", "tf32", "bf16"]
Protocol = Literal["paper", "strict"]
Split = Literal["test", "validation"]
CoresetMethod = Literal["random", "herding", "k-center"]
Initialization = Literal["real", "noise"]

CovarianceForm = Literal["local", "global"]
PixelOptimizer = Literal["sgd", "adam", "adamw"]

OptionValue = bool | int | float | str
Options = tuple[tuple[str, OptionValue], ...]
"""Options of custom losses by name, sorted."""

HOLD_OUT_FRACTION = 0.1
"""Share of the training images that the strict protocol holds out for choices."""

DSA_OPS = ("color", "crop", "cutout", "flip", "scale", "rotate")
DSA_ALL = "color_crop_cutout_flip_scale_rotate"

LOCATION: dict[str, Any] = {"identity": False}
"""Field metadata of values that say where something is, or that reading it also tells.

They are not part of a unit's key."""

ADDED: dict[str, Any] = {"added": True}
"""Field metadata of settings that were added after the first release.

At its default such a field is not part of a unit's key, so earlier results keep their keys."""

METHOD: dict[str, Any] = {**ADDED, "method": True}
"""Field metadata of values that the name of a method implies; a search space cannot set them."""

COHORT_FREE: dict[str, Any] = {"cohort_free": True}
"""Field metadata of settings in which the sets of one cohort may differ.

No draw of an iteration, no matching network and no feature of a real image depends on them."""


OPTIONS_OF_FORMATS = ("test_split", "image_column", "label_column")
"""What a custom data set can say about its files, unless a custom reader reads them."""


class SettingsError(ValueError):
    """A setting has an invalid value; the message names setting, value and possible values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetRef:
    """A data set by name and version; for a custom one also its location and format."""

    name: str
    """A registered name (see `iid datasets`), or a name of your choice with `format` and `path`."""
    version: int = 1
    """Raise it when the images of the data set change."""
    image_size: int | None = None
    """Side in pixels to which custom images are resized; registered data sets have a fixed size."""
    classes: tuple[int, ...] = field(default=(), metadata=ADDED)
    """Keep only these classes, which become classes 0, 1, …, in this order; empty keeps all."""
    format: str | None = field(default=None, metadata=LOCATION)
    """Format of a custom data set: parquet, imagefolder, or a reader `module:object`."""
    path: str | None = field(default=None, metadata=LOCATION)
    """Folder of a custom data set, absolute or relative to the data folder."""
    num_classes: int | None = field(default=None, metadata=LOCATION)
    """Number of classes of a custom data set, for plans made before it is read; checked then."""
    test_split: str | None = field(default=None, metadata=ADDED)
    """Split of a custom data set to test on; by default the first one that has labels."""
    image_column: str | None = field(default=None, metadata=ADDED)
    """Column of the images in the Parquet files of a custom data set."""
    label_column: str | None = field(default=None, metadata=ADDED)
    """Column of the labels, in Parquet files or in a CSV file beside the images."""

    def __post_init__(self) -> None:
        if (self.format is None) != (self.path is None):
            raise SettingsError(f"data set {self.name!r}: give both format and path, or neither")
        if self.format is not None and not is_custom(self.format):
            _require_choice("format", self.format, ("parquet", "imagefolder"))
        elif given := [name for name in OPTIONS_OF_FORMATS if getattr(self, name) is not None]:
            raise SettingsError(
                f"data set {self.name!r}: {given[0]} goes with format parquet or imagefolder only"
            )
        _require_minimum("version", self.version, 1)
        if self.num_classes is not None:
            _require_minimum("num_classes", self.num_classes, 2)
        if len(set(self.classes)) != len(self.classes) or any(c < 0 for c in self.classes):
            raise SettingsError(
                f"classes is {self.classes}; give distinct class numbers, starting from 0"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractorSettings:
    """Training of one extractor ψ for class centralization on real images (IID: 40 epochs)."""

    network: str = "ResNet18"
    """Architecture, a name that `build_network` knows."""
    epochs: int = 40
    """Passes over the training images."""
    lr_net: float = 0.01
    """Learning rate of SGD."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 5e-4
    """Weight decay of SGD."""
    batch_train: int = 256
    """Images per step."""
    dsa_strategy: str = "none"
    """Augmentation of the real images; the released code uses none."""
    precision: Precision = "tf32"
    """Arithmetic of the network."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_train"):
            _require_minimum(name, getattr(self, name), 1)
        _check_optimizer(self.lr_net, self.momentum, self.weight_decay)
        _check_dsa(self.dsa_strategy)
        _require_choice("precision", self.precision, get_args(Precision))


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueSettings:
    """IDM's queue of networks that train while images are distilled, and its cross-entropy term."""

    networks: int = 3
    """Random networks in the queue at the start."""
    interval: int = 30
    """Iterations after which another random network is added (5 at IPC 1)."""
    max_networks: int = 100
    """Maximum length of the queue; the oldest network leaves first."""
    trained_networks: int = 2
    """Networks drawn from the queue for training after each iteration."""
    train_steps: int = 10
    """SGD steps for each of them, on real batches."""
    batch_train: int = 256
    """Real images per step."""
    lr_net: float = 0.01
    """Learning rate of those steps."""
    momentum: float = 0.9
    """Momentum of those steps."""
    weight_decay: float = 5e-4
    """Weight decay of those steps."""
    ce_weight: float = 0.5
    """Weight of class-aware regularization: loss += ce_weight · running accuracy in % · CE."""

    def __post_init__(self) -> None:
        for name in ("networks", "interval", "max_networks", "batch_train"):
            _require_minimum(name, getattr(self, name), 1)
        for name in ("trained_networks", "train_steps", "ce_weight"):
            _require_minimum(name, getattr(self, name), 0)
        _check_optimizer(self.lr_net, self.momentum, self.weight_decay)


@dataclass(frozen=True, slots=True)
class LossTerm:
    """A custom loss in an objective."""

    name: str
    """`module:object`."""
    label: str
    """Name of its curve: "own" for the first, "own.<object>" for others."""
    weight: float
    options: Options


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillationSettings:
    """L = L_base + λ_CC·L_CC + λ_CM·L_CM over the pixels of a set; IDM with a queue, else DM."""

    network: str = "ConvNet"
    """Matching network φ."""
    iterations: int = 20_000
    """Updates of the synthetic images."""
    lr_img: float = field(default=1.0, metadata=COHORT_FREE)
    """Learning rate of the pixels (DM: 1, at IPC ≥ 100: 10; IDM: 0.2)."""
    momentum_img: float = field(default=0.5, metadata=COHORT_FREE)
    """Momentum of the pixels."""
    batch_real: int = 256
    """Real images per class and iteration; smaller classes repeat their images."""
    init: Initialization = "real"
    """Initial images: real ones of the class, or noise."""
    dsa_strategy: str = DSA_ALL
    """Siamese augmentation: DSA operations joined by "_", or "none"."""
    partition: int = 1
    """Tiles per side of a stored image; IDM uses 2: each image holds four training images."""
    lambda_cc: float = field(default=0.0, metadata=COHORT_FREE)
    """Weight of class centralization."""
    lambda_cm: float = field(default=0.0, metadata=COHORT_FREE)
    """Weight of covariance matching."""
    cc_alpha: float | None = field(default=None, metadata=COHORT_FREE)
    """α of the form max(0, exp(α·‖·‖²) − β); None for the plain squared distance."""
    cc_beta: float = field(default=0.0, metadata=COHORT_FREE)
    """β of that form."""
    covariance: CovarianceForm = field(default="local", metadata=ADDED | COHORT_FREE)
    """Covariance to match: of channels over positions (local) or of whole features (global)."""
    queue: QueueSettings | None = None
    """None uses a new random network in every iteration (DM); otherwise IDM's queue."""
    base: str | None = field(default=None, metadata=METHOD)
    """A custom base method, `module:object`, instead of DM and IDM."""
    loss: str | None = field(default=None, metadata=METHOD | COHORT_FREE)
    """A custom loss, `module:object`, that is added to the objective."""
    lambda_loss: float = field(default=1.0, metadata=ADDED | COHORT_FREE)
    """Weight of the custom loss; with several, of the first."""
    lambda_mean: float = field(default=1.0, metadata=ADDED | COHORT_FREE)
    """Weight of mean matching; 0 leaves it out."""
    optimizer_img: PixelOptimizer = field(default="sgd", metadata=ADDED | COHORT_FREE)
    """Optimizer of the pixels. Adam and AdamW take one step per iteration, whatever the base."""
    more_losses: tuple[str, ...] = field(default=(), metadata=METHOD | COHORT_FREE)
    """Further custom losses that are added to the objective."""
    loss_options: Options = field(default=(), metadata=ADDED | COHORT_FREE)
    """Options of the custom losses. With several, `object.option` says whose; `object.weight` is
    the weight of a further one."""
    precision: Precision = "tf32"
    """Arithmetic of the networks. TF32 needs a GPU; on a CPU it allows Winograd's algorithm."""

    def __post_init__(self) -> None:
        for name in ("iterations", "batch_real", "partition"):
            _require_minimum(name, getattr(self, name), 1)
        for name in ("lr_img", "lambda_cc", "lambda_cm", "lambda_loss", "lambda_mean", "cc_beta"):
            _require_minimum(name, getattr(self, name), 0)
        _require_choice("optimizer_img", self.optimizer_img, get_args(PixelOptimizer))
        _check_momentum("momentum_img", self.momentum_img)
        _require_choice("init", self.init, get_args(Initialization))
        _require_choice("covariance", self.covariance, get_args(CovarianceForm))
        _require_choice("precision", self.precision, get_args(Precision))
        _check_dsa(self.dsa_strategy)

    @property
    def method(self) -> str:
        """The method's name, such as DM, IDM+IID or DM+my_losses:spread."""
        base = self.base or ("DM" if self.queue is None else "IDM")
        published = {
            (True, True): "+IID",
            (True, False): "+CC",
            (False, True): "+CM",
            (False, False): "",
        }
        custom = "".join(f"+{name}" for name in self.custom_losses)
        return base + published[self.lambda_cc > 0, self.lambda_cm > 0] + custom

    @property
    def custom_losses(self) -> tuple[str, ...]:
        """The custom losses, in their order."""
        return self.more_losses if self.loss is None else (self.loss, *self.more_losses)

    @property
    def loss_terms(self) -> tuple[LossTerm, ...]:
        """The custom losses with their weights and options.

        Raises:
            SettingsError: an option belongs to none of them, or could belong to several.
        """
        names = self.custom_losses
        by_object: dict[str, dict[str, OptionValue]] = {_name_object(name): {} for name in names}
        if len(by_object) < len(names):
            raise SettingsError(f"two of the losses {', '.join(names)} have one name")
        for path, value in self.loss_options:
            owner, dot, option = path.rpartition(".")
            if not dot and len(names) == 1:
                owner = _name_object(names[0])
            if owner not in by_object:
                known = " or ".join(f"{each}.{option}" for each in by_object) or "a custom loss"
                raise SettingsError(f"loss_options: {path!r} is of no loss; give {known}")
            by_object[owner][option] = value
        terms = []
        for place, (name, options) in enumerate(zip(names, by_object.values(), strict=True)):
            weight = self.lambda_loss if place == 0 else float(options.pop("weight", 1.0))
            label = "own" if place == 0 else f"own.{_name_object(name)}"
            terms.append(LossTerm(name, label, weight, tuple(sorted(options.items()))))
        return tuple(terms)

    @property
    def has_custom_parts(self) -> bool:
        """Whether code of the user takes part: a base, a loss or a network."""
        return self.base is not None or bool(self.custom_losses) or is_custom(self.network)

    @property
    def cohort_settings(self) -> "DistillationSettings | None":
        """What all sets of a cohort share, with defaults for the rest; None for no cohort."""
        if self.base is not None:
            # A custom base may use any setting, so its sets are distilled separately.
            return None
        defaults: dict[str, Any] = {
            f.name: f.default for f in fields(self) if f.metadata.get("cohort_free", False)
        }
        return replace(self, **defaults)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationSettings:
    """Training and test of fresh networks on a synthetic set: the protocol of DC, DSA, DM, IDM."""

    num_eval: int = 20
    """Networks trained per set."""
    epoch_eval_train: int = 1000
    """There are epoch_eval_train + 1 epochs; the learning rate drops after half of them."""
    lr_net: float = 0.01
    """Learning rate of SGD before the drop; a tenth of it afterwards."""
    momentum: float = 0.9
    """Momentum of SGD; cleared at the drop."""
    weight_decay: float = 5e-4
    """Weight decay of SGD."""
    batch_train: int = 256
    """Images per step."""
    dsa_strategy: str = DSA_ALL
    """Augmentation while training: one operation per batch, with parameters per image."""
    precision: Precision = "tf32"
    """Arithmetic of the network."""

    def __post_init__(self) -> None:
        for name in ("num_eval", "batch_train"):
            _require_minimum(name, getattr(self, name), 1)
        _require_minimum("epoch_eval_train", self.epoch_eval_train, 0)
        _check_optimizer(self.lr_net, self.momentum, self.weight_decay)
        _check_dsa(self.dsa_strategy)
        _require_choice("precision", self.precision, get_args(Precision))


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureSettings:
    """Comparison of the features of real and synthetic images, and their projection to planes."""

    images: int = 200
    """Real images per class; smaller classes use all of theirs."""
    perplexity: float = 30.0
    """Perplexity of t-SNE; lowered where there are too few images."""

    def __post_init__(self) -> None:
        _require_minimum("images", self.images, 2)
        _require_minimum("perplexity", self.perplexity, 1)


def is_custom(name: str) -> bool:
    """Return whether a name is that of a custom object, `module:object` (see `extensions`)."""
    return ":" in name


def _name_object(name: str) -> str:
    """Return the object's part of `module:object@2`."""
    return name.partition(":")[2].partition("@")[0]


def parse_dsa_strategy(strategy: str) -> tuple[str, ...]:
    """Return the operations of a `dsa_strategy` such as "color_crop_flip"; none for "none"."""
    return () if strategy == "none" else tuple(strategy.split("_"))


def _check_dsa(strategy: str) -> None:
    unknown = [op for op in parse_dsa_strategy(strategy) if op not in DSA_OPS]
    if unknown:
        raise SettingsError(
            f"dsa_strategy {strategy!r} names {unknown[0]!r}; known are {', '.join(DSA_OPS)}, or"
            " none"
        )


def _check_optimizer(lr_net: float, momentum: float, weight_decay: float) -> None:
    for name, value in (("lr_net", lr_net), ("weight_decay", weight_decay)):
        _require_minimum(name, value, 0)
    _check_momentum("momentum", momentum)


def _check_momentum(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise SettingsError(f"{name} is {value}; it must be in [0, 1)")


def _require_minimum(name: str, value: float, minimum: float) -> None:
    if not value >= minimum:
        raise SettingsError(f"{name} is {value}; it must be at least {minimum}")


def _require_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise SettingsError(
            f"{name} is {value!r}; it must be one of {', '.join(map(str, choices))}"
        )
