"""Importers read what exporters write: the same training images and the same accuracy."""

from dataclasses import replace

import pytest
import torch

from distill_core.evaluation.evaluate import TrainingSet, evaluate_network
from distill_core.exporters import FORMATS, export
from distill_core.importers.convert import convert
from distill_core.importers.decide import decide_reading
from distill_core.importers.reading import ReadingOptions
from distill_core.importers.recognize import recognize
from distill_core.settings import EvaluationSettings

BRIEF = EvaluationSettings(num_eval=1, epoch_eval_train=2, batch_train=8)


CASES = [(name, cells) for name in ("dc", "mtt", "ddranking", "safetensors") for cells in (1, 2)]
"""An image folder holds whole steps of 1/255, which upsampled cells are not."""


@pytest.mark.parametrize(("name", "partition"), [*CASES, ("imagefolder", 1)])
def test_an_exported_set_is_imported_as_it_was(native_set, digits, tmp_path, name, partition):
    source = replace(native_set, partition=partition)
    export(source, FORMATS[name], tmp_path / "set")
    found = recognize(tmp_path / "set")
    reading = decide_reading(found, 0, ReadingOptions(normalized=name != "imagefolder", zca=False))
    imported = convert(found.sets[0], reading, digits, method=name, spec={})
    images, labels = imported.training_images()
    expected, expected_labels = source.training_images()
    if name in ("ddranking", "imagefolder"):
        order = expected_labels.argsort(stable=True)
        expected, expected_labels = expected[order], expected_labels[order]
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-5)
    assert torch.equal(labels, expected_labels)
    accuracies = [
        evaluate_network(
            TrainingSet.from_tensors(x, y, "cpu"),
            digits.test,
            digits.info,
            BRIEF,
            network="ConvNetW8",
            seed=0,
            index=0,
        ).accuracy
        for x, y in ((images, labels), (expected, expected_labels))
    ]
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.01)  # pixels differ by rounding
