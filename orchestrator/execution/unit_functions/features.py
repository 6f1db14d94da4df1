"""Units that show the features of a set next to those of real images."""

import math
import time

from torch import Tensor

from distill_core.datasets.load import Dataset
from distill_core.distillation.initial_images import draw_initial_indices, make_initial_images
from distill_core.distillation.objective import decode_canvases
from distill_core.evaluation.features import compare_features
from distill_core.synthetic_set import SyntheticSet
from orchestrator.execution.context import UnitContext
from orchestrator.execution.unit_functions.inputs import (
    SET_FILE,
    get_architecture,
    get_training_data,
    load_extractors,
)
from orchestrator.store.tables import Row
from orchestrator.units import (
    Distill,
    Embed,
)


def embed(unit: Embed, dataset: Dataset, context: UnitContext) -> list[Row]:
    """Describe the features of a set, of the images it started from, and of real images.

    Returns:
        A row per class and origin of the images.
    """
    began = time.monotonic()
    set_key, extractor_key = unit.parents
    data, made = get_training_data(dataset, unit), context.load_parent_unit(set_key)
    synthetic = SyntheticSet.load(context.parent_folder(set_key) / SET_FILE)
    if isinstance(made, Distill):
        start = make_initial_images(data, made.settings, ipc=made.ipc, seed=made.seed)
    else:
        start = data.train.normalized(draw_initial_indices(data, synthetic.ipc, seed=unit.seed))
    (extractor,) = load_extractors((extractor_key,), data, context).networks
    described = compare_features(
        data,
        extractor,
        decode_canvases(start, synthetic.partition),
        _group_by_class(synthetic).to(data.train.device),
        unit.settings,
        seed=unit.seed,
    )
    shared = {"set_key": set_key, "method": synthetic.method, "ipc": synthetic.ipc}
    seconds = (time.monotonic() - began) / len(described)
    return [
        {
            **shared,
            "network": get_architecture(context.load_parent_unit(extractor_key)),
            "label": of_class.label,
            "class_name": dataset.info.classes[of_class.label],
            "origin": of_class.origin,
            "images": of_class.images,
            "spread": None if math.isnan(of_class.spread) else of_class.spread,
            "covariance_distance": of_class.covariance_distance,
            "pca_x": of_class.pca[:, 0].tolist(),
            "pca_y": of_class.pca[:, 1].tolist(),
            "tsne_x": of_class.tsne[:, 0].tolist(),
            "tsne_y": of_class.tsne[:, 1].tolist(),
            "seconds": seconds,
        }
        for of_class in described
    ]


def _group_by_class(synthetic: SyntheticSet) -> Tensor:
    """Return a set's training images by class, (K, M, C, H, W)."""
    images, labels = synthetic.training_images()
    by_class: Tensor = images[labels.sort(stable=True).indices].unflatten(
        0, (len(synthetic.class_names), -1)
    )
    return by_class
