"""The settings of every step of dataset distillation, with the published values as defaults.

This module is plain data: it imports neither torch nor numpy, so that planning and reporting can
read and hash settings without paying for either. Names follow the released code of DC, DSA, DM and
IDM where it has a name.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

Precision = Literal["float32", "tf32", "bf16"]
Protocol = Literal["paper", "strict"]
Split = Literal["test", "validation"]
CoresetMethod = Literal["random", "herding", "k-center"]
Initialization = Literal["real", "noise"]

CovarianceForm = Literal["local", "global"]

HOLD_OUT_FRACTION = 0.1
"""Share of the training images that the strict protocol keeps for choices."""

DSA_OPS = ("color", "crop", "cutout", "flip", "scale", "rotate")
DSA_ALL = "color_crop_cutout_flip_scale_rotate"

LOCATION: dict[str, Any] = {"identity": False}
"""Field metadata of values that say where something lies, or what reading it tells too: they stay
out of the key.
"""

ADDED: dict[str, Any] = {"added": True}
"""Field metadata of settings that came after the first release: at its default such a field stays
out of a unit's key, so that what was computed before keeps its name."""

METHOD: dict[str, Any] = {**ADDED, "method": True}
"""Field metadata of what the name of a method says; it is no setting that a search space can
give.
"""

COHORT_FREE: dict[str, Any] = {"cell": True}
"""Field metadata of settings in which the sets of one cohort may differ: no draw of an iteration,
no matching network and no feature of a real image depends on them."""


class SettingsError(ValueError):
    """A setting has a value that cannot be used; the message names the setting, the value and what
    is possible.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetRef:
    """A data set by name and version; for a user's own data set also where it lies and how it is
    read.
    """

    name: str
    """A registered name (see `iid datasets`), or a name of the user's choice together with `format`
    and `path`.
    """
    version: int = 1
    """Raise it when the images behind the name change."""
    image_size: int | None = None
    """Side in pixels to which a user's own images are resized; registered data sets have their
    own.
    """
    classes: tuple[int, ...] = field(default=(), metadata=ADDED)
    """Only the images of these classes, which become classes 0, 1, …, in this order; all classes if
    empty.
    """
    format: str | None = field(default=None, metadata=LOCATION)
    """Layout of a user's own data set, parquet, imagefolder, or a reader `module:object`; None for
    a registered one.
    """
    path: str | None = field(default=None, metadata=LOCATION)
    """Folder of a user's own data set, absolute or relative to the data folder."""
    num_classes: int | None = field(default=None, metadata=LOCATION)
    """Classes of a user's own data set, for plans that need them before it is read; checked when it
    is.
    """

    def __post_init__(self) -> None:
        if (self.format is None) != (self.path is None):
            raise SettingsError(f"data set {self.name!r}: give both format and path, or neither")
        if self.format is not None and not is_custom(self.format):
            _require_choice("format", self.format, ("parquet", "imagefolder"))
        _require_minimum("version", self.version, 1)
        if self.num_classes is not None:
            _require_minimum("num_classes", self.num_classes, 2)
        if len(set(self.classes)) != len(self.classes) or any(c < 0 for c in self.classes):
            raise SettingsError(
                f"classes is {self.classes}; give distinct numbers of classes, counted from 0"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractorSettings:
    """How one extractor network ψ of class centralization is trained on real images (IID release:
    40 epochs).
    """

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
    """Images a step."""
    dsa_strategy: str = "none"
    """Augmentation of the real images; the release uses none."""
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
    """IDM's queue of matching networks that train while the images are distilled, and its
    cross-entropy term.
    """

    networks: int = 3
    """Random networks in the queue at the start."""
    interval: int = 30
    """Iterations after which one more random network enters (5 at IPC 1)."""
    max_networks: int = 100
    """Length of the queue; the oldest network leaves first."""
    trained_networks: int = 2
    """Networks drawn from the queue for training after each iteration."""
    train_steps: int = 10
    """SGD steps for each of them, on real batches."""
    batch_train: int = 256
    """Real images a step."""
    lr_net: float = 0.01
    """Learning rate of those steps."""
    momentum: float = 0.9
    """Momentum of those steps."""
    weight_decay: float = 5e-4
    """Weight decay of those steps."""
    ce_weight: float = 0.5
    """Weight of class-aware regularization: loss += ce_weight · running accuracy in percent · cross
    entropy.
    """

    def __post_init__(self) -> None:
        for name in ("networks", "interval", "max_networks", "batch_train"):
            _require_minimum(name, getattr(self, name), 1)
        for name in ("trained_networks", "train_steps", "ce_weight"):
            _require_minimum(name, getattr(self, name), 0)
        _check_optimizer(self.lr_net, self.momentum, self.weight_decay)


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillationSettings:
    """L = L_base + λ_CC·L_CC + λ_CM·L_CM over the pixels of the synthetic set; DM without a queue,
    IDM with one.
    """

    network: str = "ConvNet"
    """Matching network φ."""
    iterations: int = 20_000
    """Updates of the synthetic images."""
    lr_img: float = field(default=1.0, metadata=COHORT_FREE)
    """Learning rate of the pixels (DM: 1, at IPC ≥ 100: 10; IDM: 0.2)."""
    momentum_img: float = field(default=0.5, metadata=COHORT_FREE)
    """Momentum of the pixels."""
    batch_real: int = 256
    """Real images a class and iteration; a class that has fewer gives all it has, over and over."""
    init: Initialization = "real"
    """Initial images: real ones of the class, or noise."""
    dsa_strategy: str = DSA_ALL
    """Siamese augmentation: DSA operations joined by "_", or "none"."""
    partition: int = 1
    """Side of the grid into which a stored image is cut: 2 gives IDM's four training images a
    canvas, 1 none.
    """
    lambda_cc: float = field(default=0.0, metadata=COHORT_FREE)
    """Weight of class centralization."""
    lambda_cm: float = field(default=0.0, metadata=COHORT_FREE)
    """Weight of covariance matching."""
    cc_alpha: float | None = field(default=None, metadata=COHORT_FREE)
    """α of the form max(0, exp(α·‖·‖²) − β); None for the plain squared distance."""
    cc_beta: float = field(default=0.0, metadata=COHORT_FREE)
    """β of that form."""
    covariance: CovarianceForm = field(default="local", metadata=ADDED | COHORT_FREE)
    """Covariance that is matched: of channels over positions (local, IID), or of the whole feature
    vector (global).
    """
    queue: QueueSettings | None = None
    """None matches in a new random network every iteration (DM); otherwise IDM's queue."""
    base: str | None = field(default=None, metadata=METHOD)
    """A base method of one's own, `module:object`, instead of DM and IDM."""
    loss: str | None = field(default=None, metadata=METHOD | COHORT_FREE)
    """A loss of one's own, `module:object`, that is added to the objective."""
    lambda_loss: float = field(default=1.0, metadata=ADDED | COHORT_FREE)
    """Weight of that loss."""
    precision: Precision = "tf32"
    """Arithmetic of the networks; TF32 exists on GPUs only; on a CPU it allows Winograd's
    convolutions.
    """

    def __post_init__(self) -> None:
        for name in ("iterations", "batch_real", "partition"):
            _require_minimum(name, getattr(self, name), 1)
        for name in ("lr_img", "lambda_cc", "lambda_cm", "lambda_loss", "cc_beta"):
            _require_minimum(name, getattr(self, name), 0)
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
        own = "" if self.loss is None else f"+{self.loss}"
        return base + published[self.lambda_cc > 0, self.lambda_cm > 0] + own

    @property
    def cohort_settings(self) -> "DistillationSettings | None":
        """What all sets of one cohort share, the rest at its defaults; None for a base of one's
        own, which may do anything with its settings and is therefore alone."""
        if self.base is not None:
            return None
        defaults: dict[str, Any] = {
            f.name: f.default for f in fields(self) if f.metadata.get("cell", False)
        }
        return replace(self, **defaults)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationSettings:
    """How fresh networks are trained on a synthetic set and tested: the protocol of DC, DSA, DM and
    IDM.
    """

    num_eval: int = 20
    """Networks trained on each set."""
    epoch_eval_train: int = 1000
    """Passes over the set are epoch_eval_train + 1, with one drop of the learning rate after half
    of them.
    """
    lr_net: float = 0.01
    """Learning rate of SGD before the drop; a tenth of it after."""
    momentum: float = 0.9
    """Momentum of SGD; cleared at the drop."""
    weight_decay: float = 5e-4
    """Weight decay of SGD."""
    batch_train: int = 256
    """Images a step."""
    dsa_strategy: str = DSA_ALL
    """Augmentation while training: one operation a batch, its parameters drawn per image."""
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
    """How real and synthetic images are laid out in the plane and compared as distributions of
    features.
    """

    images: int = 200
    """Real images a class; a class that has fewer gives all it has."""
    perplexity: float = 30.0
    """Of t-SNE; lowered where there are too few images for it."""

    def __post_init__(self) -> None:
        _require_minimum("images", self.images, 2)
        _require_minimum("perplexity", self.perplexity, 1)


def is_custom(name: str) -> bool:
    """Tell whether a name says where a thing of one's own lies, `module:object` (see
    `distill_core.extensions`).
    """
    return ":" in name


def parse_dsa_strategy(strategy: str) -> tuple[str, ...]:
    """Return the operations of a `dsa_strategy` such as "color_crop_flip"; "none" gives an empty
    tuple.
    """
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
        raise SettingsError(f"{name} is {value}; it must lie in [0, 1)")


def _require_minimum(name: str, value: float, minimum: float) -> None:
    if not value >= minimum:
        raise SettingsError(f"{name} is {value}; it must be at least {minimum}")


def _require_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise SettingsError(
            f"{name} is {value!r}; it must be one of {', '.join(map(str, choices))}"
        )
