"""What a search-space file may hold.

    name: …                 # and description
    include: [paper/main]   # experiments of other spaces, with their own settings and rules
    settings: …             # defaults of all experiments of this file: axes and settings
    rules: […]              # settings that depend on data set, method, IPC or protocol
    experiments:
      - name: …
        datasets, methods, ipc (or ratio), seeds, architectures   # the grid; one value or a list
        protocol: paper                      # or strict
        sweep: {lambda_cc: [0, 0.01]}        # more axes: any setting and its values
        measure: accuracy                    # or continual (with steps), or features
        search: {lambda_cc: {low: 0.001, high: 1, log: true, zero: true}}    # for `iid search`
        rungs: {count: 3, reduction: 3, num_eval: 2, epoch_eval_train: 200}  # how trials are cut
        distillation, evaluation, extractors, features: …   # see distill_core/settings.py
        rules: […]
        smoke: …                             # axes, settings, sweep, rules of the small version

These models check structure and names. `setting_paths` checks the values of settings against the
dataclasses.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)

from distill_core.datasets.info import resolve_registered
from distill_core.extensions import require_importable
from distill_core.networks import parse_network_name
from distill_core.settings import DatasetRef, Protocol, is_custom
from search_spaces.claims import Claim, Take, parse_pair, parse_statement
from search_spaces.errors import InvalidValue
from search_spaces.explain import explain
from search_spaces.method_names import canonicalize_method
from search_spaces.rules import Rule, check_comparison
from search_spaces.setting_paths import LARGEST, shorten
from search_spaces.strict_model import StrictModel

MAX_SEEDS = 10_000

SAME = "same"
"""As an evaluation architecture: the matching network of the experiment (the field's default
evaluation).
"""

Measure = Literal["accuracy", "continual", "features"]
"""What an experiment measures of its sets: the accuracy of networks trained on them, the same while
classes arrive step by step, or their features next to those of real images."""

T = TypeVar("T")


def _to_tuple(value: object) -> object:
    if isinstance(value, list):
        return tuple(value)
    return value if isinstance(value, tuple) else (value,)


def _check_distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    for i, value in enumerate(values):
        if value in values[:i]:
            raise ValueError(f"{shorten(getattr(value, 'name', value))} is listed twice")
    return values


def _expand_seeds(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= MAX_SEEDS:
            raise ValueError(
                f"a number of seeds is between 1 and {MAX_SEEDS:,}; a list names the seeds"
                " themselves"
            )
        return tuple(range(value))
    return _to_tuple(value)


def _check_architecture(name: str) -> str:
    if name != SAME:
        parse_network_name(name)
    return name


class DatasetEntry(StrictModel):
    """A data set as a file gives it: a name, or a custom data set with its layout and place."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    version: int = Field(default=1, ge=1, le=LARGEST)
    image_size: int | None = Field(default=None, ge=4, le=4096)
    format: str | None = None
    path: str | None = Field(default=None, min_length=1)
    num_classes: int | None = Field(default=None, ge=2, le=LARGEST)
    """Of a custom data set; plans of class-incremental learning need it."""
    test_split: str | None = Field(default=None, min_length=1)
    image_column: str | None = Field(default=None, min_length=1)
    label_column: str | None = Field(default=None, min_length=1)


def _build_dataset_ref(entry: DatasetEntry) -> DatasetRef:
    ref = DatasetRef(**entry.model_dump())
    if ref.format is not None and is_custom(ref.format):
        require_importable(ref.format)
    info = resolve_registered(ref)
    return ref if info is None else DatasetRef(name=info.name, version=info.version)


DatasetField = Annotated[
    DatasetEntry,
    BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value),
    AfterValidator(_build_dataset_ref),
]
Axis = Annotated[
    tuple[T, ...], BeforeValidator(_to_tuple), Field(min_length=1), AfterValidator(_check_distinct)
]
Method = Annotated[str, AfterValidator(canonicalize_method)]
ImagesPerClass = Annotated[int, Field(ge=1, le=100_000)]
Ratio = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, le=LARGEST)]
Architecture = Annotated[str, AfterValidator(_check_architecture)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/ -]{0,79}$")]


class Axes(StrictModel):
    """The grid of an experiment; an axis that is not given is empty."""

    datasets: Axis[DatasetField] = ()
    methods: Axis[Method] = ()
    ipc: Axis[ImagesPerClass] = ()
    ratio: Axis[Ratio] = ()
    """Instead of `ipc`: stored images as a fraction of the training images."""
    seeds: Annotated[
        tuple[Seed, ...],
        BeforeValidator(_expand_seeds),
        Field(min_length=1, max_length=MAX_SEEDS),
        AfterValidator(_check_distinct),
    ] = ()
    """A number n stands for the seeds 0 … n−1."""
    architectures: Axis[Architecture] = ()
    """Networks that are trained on the sets, or whose features are shown; `same` is the matching
    network.
    """
    steps: Axis[Annotated[int, Field(ge=1, le=10_000)]] = ()
    """Steps of class-incremental learning."""
    protocol: Protocol | None = None

    def list_datasets(self) -> tuple[DatasetRef, ...]:
        """Return the data sets as units refer to them; validation has replaced the entries."""
        return self.datasets  # type: ignore[return-value]


class Settings(Axes):
    """Axes and settings together."""

    distillation: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}
    extractors: dict[str, Any] = {}
    features: dict[str, Any] = {}


class When(StrictModel):
    """Conditions of a rule, all of which have to hold; each is one value or alternatives."""

    dataset: Axis[str] = ()
    method: Axis[Method] = ()
    ipc: Axis[Annotated[int | str, AfterValidator(check_comparison)]] = ()
    protocol: Axis[Protocol] = ()


class RuleEntry(StrictModel):
    """Settings that apply under conditions."""

    when: When = When()
    set: dict[str, Any] = Field(min_length=1)
    source: str = ""

    def build_rule(self, values: Mapping[str, Any]) -> Rule:
        """Return the rule with its checked settings."""
        when = self.when
        return Rule(
            set=values,
            dataset=when.dataset,
            method=when.method,
            ipc=when.ipc,
            protocol=when.protocol,
            source=self.source,
        )


class Range(StrictModel):
    """Values of one setting that a search tries."""

    low: float
    high: float
    log: bool = False
    """Whether values are spread over orders of magnitude."""
    zero: bool = False
    """Whether exactly 0 is tried too."""
    optional: bool = False
    """Whether it is searched only on request (`iid search --also`)."""
    points: int = Field(default=5, ge=2, le=1000)
    """Values of the grid sampler, without 0."""

    @model_validator(mode="after")
    def _check_bounds(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(
                f"low is {self.low:g} and high is {self.high:g}; low has to be the smaller"
            )
        if self.low <= 0 and (self.log or self.zero):
            raise ValueError(f"low is {self.low:g}; with log or zero it has to be above 0")
        return self


class Rungs(StrictModel):
    """When a search evaluates unfinished sets, and how cheaply."""

    count: int = Field(default=3, ge=1, le=10)
    """Evaluations per trial; the last one is of the finished set."""
    reduction: int = Field(default=3, ge=2, le=10)
    """Factor between the iterations of two rungs; one trial in so many passes (η of ASHA)."""
    num_eval: int = Field(default=2, ge=1, le=1000)
    """Networks trained on each set."""
    epoch_eval_train: int = Field(default=200, ge=0, le=100_000)
    """As in the evaluation, whose number is used where it is smaller."""


class SmokeDefaults(StrictModel):
    """The file of settings that small versions start from."""

    settings: Settings
    rules: list[RuleEntry] = []


class Smoke(Settings):
    """What the small version of an experiment changes; sweep and rungs replace the experiment's."""

    sweep: dict[str, Any] = {}
    rungs: Rungs | None = None
    rules: list[RuleEntry] = []


class ExperimentEntry(Settings):
    """One grid and its settings."""

    name: Name
    measure: Measure = "accuracy"
    sweep: dict[str, Any] = {}
    search: dict[str, Range] = {}
    """By setting."""
    rungs: Rungs = Rungs()
    rules: list[RuleEntry] = []
    smoke: Smoke = Smoke()


class ClaimEntry(StrictModel):
    """A claim that reports test: a statement on one line, or its parts."""

    text: str = Field(min_length=1)
    compare: Annotated[tuple[str, ...], BeforeValidator(_to_tuple)] = ()
    drop: Axis[Method] = ()
    datasets: Axis[str] = ()
    ipc: Axis[ImagesPerClass] = ()
    networks: Axis[Architecture] = ()
    at_least: float | None = None
    at_most: float | None = None
    take: Take | None = None
    tolerance: float = Field(default=0.0, ge=0)
    published: str = ""
    anywhere: bool = False
    source: str = ""

    @model_validator(mode="after")
    def _check_parts(self) -> "ClaimEntry":
        if bool(self.compare) == bool(self.drop):
            raise ValueError("a claim needs either compare or drop")
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("a claim needs either at_least or at_most")
        self.build_claim()
        return self

    def build_claim(self) -> Claim:
        """Return the claim with its methods in their one spelling."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        pairs, drops = values.pop("compare"), values.pop("drop")
        return Claim(pairs=tuple(map(parse_pair, pairs)), drops=drops, **values)


ClaimField = Annotated[
    ClaimEntry,
    BeforeValidator(lambda value: parse_statement(value) if isinstance(value, str) else value),
]


class ClaimList(StrictModel):
    """The file of published claims."""

    claims: list[ClaimField]


class SpaceEntry(StrictModel):
    """A whole file."""

    name: Name
    description: str = ""
    include: Axis[str] = ()
    settings: Settings = Settings()
    rules: list[RuleEntry] = []
    experiments: list[ExperimentEntry] = []
    claims: list[ClaimField] = []


class RuleList(StrictModel):
    """The file of published settings."""

    rules: list[RuleEntry]


ModelT = TypeVar("ModelT", bound=BaseModel)


def validate(model: type[ModelT], value: object) -> ModelT:
    """Check a value's structure.

    Raises:
        InvalidValue: something does not fit; the first error with its path.
    """
    try:
        return model.model_validate(value)
    except ValidationError as failure:
        error = failure.errors(include_url=False)[0]
    path = tuple(error["loc"])
    if error["type"] == "unknown_key":
        raise InvalidValue(error["ctx"]["problem"], (*path, error["ctx"]["key"]))
    if error["type"] == "value_error":
        raise InvalidValue(str(error["ctx"]["error"]), path)
    if error["type"] == "missing":
        raise InvalidValue(f"the key {path[-1]!r} is missing", path[:-1])
    raise InvalidValue(f"{explain(error)}; got {shorten(error['input'])}", path)
