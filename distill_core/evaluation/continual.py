"""Class-incremental learning as in the DM release (GDumb: Prabhu et al., ECCV 2020).

Classes arrive in steps (see `class_order`). Each step adds a small set of its classes to a memory;
a fresh network is trained on the whole memory so far and tested on all classes seen so far.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from distill_core.datasets.image_set import ImageSet
from distill_core.datasets.info import DatasetInfo
from distill_core.evaluation.evaluate import EvaluatedNetwork, TrainingSet, evaluate_network
from distill_core.seeds import derive_seed
from distill_core.settings import EvaluationSettings
from distill_core.training.trainer import Progress


def build_memory(
    parts: Sequence[tuple[Tensor, Tensor]], classes: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor]:
    """Join the sets of the first steps.

    Args:
        parts: `SyntheticSet.training_images()` of each step's set: images (N_s, C, H, W) and labels
            (N_s,), which number the classes of the step from 0.
        classes: classes of each step in the data set; label j of a part is the j-th of its step.

    Returns:
        Images (ΣN_s, C, H, W) and labels (ΣN_s,) of the data set.

    Raises:
        ValueError: the numbers of parts and steps differ, or a label is not one of its step.
    """
    if len(parts) != len(classes):
        raise ValueError(
            f"the memory needs one set per step; there are {len(parts)} sets and {len(classes)}"
            " steps"
        )
    all_images, all_labels = [], []
    for step, (part, arrived) in enumerate(zip(parts, classes, strict=True), start=1):
        images, labels = part
        if not 0 <= int(labels.min()) <= int(labels.max()) < len(arrived):
            raise ValueError(
                f"the labels of the set of step {step} must be in 0 … {len(arrived) - 1}, its"
                f" {len(arrived)} classes"
            )
        all_images.append(images)
        all_labels.append(torch.tensor(arrived, device=labels.device)[labels])
    return torch.cat(all_images), torch.cat(all_labels)


def evaluate_step(
    images: Tensor,
    labels: Tensor,
    test: ImageSet,
    info: DatasetInfo,
    settings: EvaluationSettings,
    *,
    seen: Sequence[int],
    network: str,
    seed: int,
    index: int,
    step: int,
    steps: int,
    progress: Progress | None = None,
) -> EvaluatedNetwork:
    """Train one fresh network on the memory after a step and test it on the classes seen so far.

    The network has an output for every class of the data set, as in the DM release, so it can
    predict a class that has not arrived yet.

    Args:
        images: the memory's images (N, C, H, W), normalized.
        labels: their labels (N,) of the data set.
        test: real images of the whole data set to measure the accuracy on; the memory is moved to
            their device.
        info: the whole data set.
        settings: training schedule.
        seen: classes seen so far, in the order of arrival.
        network: architecture.
        seed: number of the class order.
        index: number of the network. Its parameters and the order of images depend only on data
            set, architecture, `seed`, `index`, `steps` and `step`, so methods are compared on the
            same networks.
        step: counted from 1.
        steps: of the whole sequence.
        progress: called after every epoch.

    Returns:
        The accuracy on the test images of the classes in `seen`, and on each of these classes in
        their order.
    """
    result = evaluate_network(
        TrainingSet.from_tensors(images, labels, test.device),
        _keep_classes(test, seen),
        info,
        settings,
        network=network,
        seed=derive_seed("continual learning", info.name, network, seed, steps, step),
        index=index,
        progress=progress,
    )
    return replace(result, class_accuracies=tuple(result.class_accuracies[c] for c in seen))


def _keep_classes(images: ImageSet, classes: Sequence[int]) -> ImageSet:
    """Return the images of some classes, which keep their labels."""
    kept = torch.isin(images.labels, torch.tensor(classes, device=images.device))
    return images.subset(kept.nonzero().flatten())
