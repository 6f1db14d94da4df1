"""Dataset distillation as a library: data, networks, losses, distillation and evaluation.

The names exported here are documented in `docs/library.md`. They are loaded at first use, so
planning can read settings without importing torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from distill_core.settings import (
    DatasetRef,
    DistillationSettings,
    EvaluationSettings,
    ExtractorSettings,
    QueueSettings,
)

if TYPE_CHECKING:
    from distill_core.api import distill_set, evaluate_set, train_extractors
    from distill_core.datasets.load import load_dataset
    from distill_core.synthetic_set import SyntheticSet

__all__ = [
    "DatasetRef",
    "DistillationSettings",
    "EvaluationSettings",
    "ExtractorSettings",
    "QueueSettings",
    "SyntheticSet",
    "distill_set",
    "evaluate_set",
    "load_dataset",
    "train_extractors",
]

_LAZY_NAMES = {
    "SyntheticSet": "synthetic_set",
    "distill_set": "api",
    "evaluate_set": "api",
    "load_dataset": "datasets.load",
    "train_extractors": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY_NAMES[name]}"), name)
