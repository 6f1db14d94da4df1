"""Each layout of published sets: written, imported and used for training."""

import dataclasses

import pytest
import torch

from distill_core.evaluation.evaluate import TrainingSet, evaluate_network
from distill_core.importers.convert import compute_content_digest, convert
from distill_core.importers.decide import decide_reading
from distill_core.importers.raw_set import ImportSetError
from distill_core.importers.reading import ReadingOptions
from distill_core.importers.recognize import recognize
from distill_core.settings import EvaluationSettings

BRIEF = EvaluationSettings(num_eval=1, epoch_eval_train=2, batch_train=8)


def take(path, digits, number=0, **options):
    found = recognize(path, allow_pickle=True)
    asked = ReadingOptions(**options)
    reading = decide_reading(found, number, asked)
    return convert(found.sets[number], reading, digits, method="theirs", spec={}, check=asked.check)


def accuracy(synthetic, digits):
    training = TrainingSet.from_tensors(*synthetic.training_images(), "cpu")
    return evaluate_network(
        training, digits.test, digits.info, BRIEF, network="ConvNetW8", seed=0, index=0
    ).accuracy


def test_every_layout_gives_the_accuracy_of_our_format(example, digits):
    imported = take(example.path, digits, **example.options)
    assert torch.equal(imported.images, example.native.images) and torch.equal(
        imported.labels, example.native.labels
    )
    assert (imported.partition, imported.ipc, imported.method) == (
        example.native.partition,
        2,
        "theirs",
    )
    assert (imported.soft_labels is None) == (example.native.soft_labels is None)
    assert accuracy(imported, digits) == accuracy(example.native, digits)


def test_the_whitening_undone_gives_the_pixels_back(write, digits, native_set):
    imported = take(write("mtt_whitened").path, digits, zca=True)
    torch.testing.assert_close(imported.images, native_set.images, rtol=0, atol=1e-5)


def test_statistics_that_changed_or_are_something_else(write, digits):
    from pathlib import Path

    example = write("mtt_whitened_with_statistics")
    found = recognize(example.path)
    reading = decide_reading(found, 0, ReadingOptions(**example.options))
    file = Path(example.options["zca_path"])
    torch.save({"mean": torch.zeros(3), "inverse": torch.zeros(2, 2)}, file)
    with pytest.raises(ImportSetError, match=r"zca\.pt has changed"):
        convert(found.sets[0], reading, digits, method="theirs", spec={})
    with pytest.raises(ImportSetError, match="do not fit together"):
        take(example.path, digits, **example.options)
    torch.save({"weights": torch.zeros(3)}, file)
    with pytest.raises(
        ImportSetError, match="expected tensors 'mean' and 'inverse', found weights"
    ):
        take(example.path, digits, **example.options)


def test_images_that_were_whitened_after_normalization(
    tmp_path, digits, native_set, normalized_set
):
    from distill_core.importers.whitening import compute_real_whitening
    from distill_core.synthetic_set import to_normalized

    norm = (digits.info.mean, digits.info.std)
    torch.save(
        compute_real_whitening(digits.train, norm).whiten(to_normalized(native_set.images, *norm)),
        tmp_path / "images_best.pt",
    )
    torch.save(native_set.labels, tmp_path / "labels_best.pt")
    imported = take(tmp_path, digits, zca=True, normalized=True)
    torch.testing.assert_close(imported.images, native_set.images, rtol=0, atol=1e-5)


def test_a_learned_learning_rate_is_read_and_left_alone(write):
    (raw,) = recognize(write("mtt").path).sets
    assert raw.lr_net == pytest.approx(0.02)
    (raw,) = recognize(write("mtt_hard").path).sets
    assert raw.lr_net is None


def test_every_run_of_a_dc_file_is_a_set(tmp_path, digits, native_set):
    from distill_core.synthetic_set import to_normalized

    images = to_normalized(native_set.images, native_set.mean, native_set.std)
    torch.save(
        {"data": [[images, native_set.labels], [images.flip(0), native_set.labels.flip(0)]]},
        tmp_path / "res.pt",
    )
    assert len(recognize(tmp_path / "res.pt").sets) == 2
    assert (
        take(tmp_path / "res.pt", digits, 1).labels.tolist() == native_set.labels.flip(0).tolist()
    )


def test_files_of_the_old_torch_save_and_of_numpy(tmp_path, digits, native_set, normalized_set):
    import pickle

    images = native_set.images
    torch.save(
        [images, native_set.labels], tmp_path / "old.pt", _use_new_zipfile_serialization=False
    )
    assert torch.equal(take(tmp_path / "old.pt", digits, partition=1).images, images)
    arrays = ((images - 0.3).numpy() / 0.3, native_set.labels.numpy())
    for protocol in (2, 4):
        (tmp_path / "arrays.pkl").write_bytes(pickle.dumps(arrays, protocol=protocol))
        imported = take(tmp_path / "arrays.pkl", digits, partition=1, mean=(0.3,), std=(0.3,))
        torch.testing.assert_close(imported.images, images)


def test_canvases_that_a_layout_only_supposes_are_said_with_the_way_out(write, digits):
    path = write("idm").path
    assert "(--factor 1 if these are whole images)" in recognize(path, allow_pickle=True).reason
    assert take(path, digits, partition=1).partition == 1


def test_undone_whitening_is_recognized_by_the_name(tmp_path, digits, native_set):
    torch.save(native_set.images, tmp_path / "images_zca_1000.pt")
    torch.save(native_set.labels, tmp_path / "labels_1000.pt")
    assert torch.equal(take(tmp_path / "images_zca_1000.pt", digits).images, native_set.images)


def test_class_folders_by_name_in_any_case(tmp_path, digits, native_set):
    from PIL import Image

    names = [name.upper() for name in digits.info.classes]
    for name, image in zip(names, native_set.images[::2], strict=True):
        (tmp_path / name).mkdir()
        Image.fromarray((image[0] * 255).round().byte().numpy()).save(tmp_path / name / "0.png")
    imported = take(tmp_path, digits)
    expected = {
        int(label): image
        for image, label in zip(native_set.images[::2], native_set.labels[::2], strict=True)
    }
    assert all(
        torch.equal(i, expected[int(label)])
        for i, label in zip(imported.images, imported.labels, strict=True)
    )


def test_class_folders_of_which_some_have_another_name(tmp_path, digits, native_set):
    """Sorted by name, "car" would stand for another class than "automobile"."""
    from PIL import Image

    for name in ("zero", *digits.info.classes[1:]):
        (tmp_path / name).mkdir()
        Image.fromarray((native_set.images[0, 0] * 255).round().byte().numpy()).save(
            tmp_path / name / "0.png"
        )
    with pytest.raises(
        ImportSetError, match=r"9 class folders have names.*'zero' does not.*none for '0'"
    ):
        take(tmp_path, digits)
    (tmp_path / "zero").rename(tmp_path / "00")
    assert take(tmp_path, digits).labels.tolist() == list(range(10))


def test_content_is_a_name_for_the_files(write, tmp_path):
    one, other = write("dc").path, write("mtt").path
    before = compute_content_digest(recognize(other), other)
    assert compute_content_digest(recognize(one), one) != before
    torch.save(torch.tensor(0.03), other / "lr_best.pt")
    assert compute_content_digest(recognize(other), other) != before


@pytest.mark.parametrize(
    ("layout", "options", "asks"),
    [
        ("idc", {}, r"--factor"),
        (
            "ncfm",
            {},
            (
                r"--normalised yes, no or MEANS,STDS.*--factor.*looks like pixels in \[0, 1\]; pass"
                r" --normalised no$"
            ),
        ),
        (
            "mtt_hard",
            {},
            r"--zca yes or no.*looks like normalized images; pass --zca no --normalised yes$",
        ),
        (
            "mtt_hard",
            {"zca": False},
            (
                r"whether they are normalized .*normalized images; pass --normalised"
                r" yes$"
            ),
        ),
        (
            "mtt_hard",
            {"normalized": True},
            r"whether they are ZCA-whitened .*normalized images; pass --zca no$",
        ),
        ("mtt_whitened", {"zca": False}, r"looks like ZCA-whitened images$"),
        ("mtt_whitened", {}, r"looks like ZCA-whitened images; pass --zca yes --normalised no$"),
        (
            "mtt",
            {},
            (
                r"--zca no --normalised yes\. Besides, the labels are .* between −\d.*--soft-labels"
                r" logits"
            ),
        ),
        ("mtt", {"normalized": True, "zca": False}, r"--soft-labels logits"),
    ],
)
def test_what_a_file_leaves_open_is_asked_for(write, digits, layout, options, asks):
    with pytest.raises(ImportSetError, match=asks):
        take(write(layout).path, digits, **options)


@pytest.mark.parametrize(
    ("layout", "options", "says"),
    [
        ("dc", {"normalized": False}, r"far outside \[0, 1\].*looks like normalized images"),
        ("mtt_hard", {"normalized": False, "zca": False}, r"far outside \[0, 1\]"),
        ("mtt_hard", {"zca": True}, r"far outside \[0, 1\]"),
        (
            "mtt_whitened",
            {"zca": False, "normalized": True},
            r"nearly constant.*looks like ZCA-whitened",
        ),
        ("ncfm", {"partition": 1, "normalized": True}, r"nearly constant.*looks like pixels"),
        ("idc", {"partition": 3}, r"cannot be cut into 3 × 3 tiles"),
        (
            "mtt",
            {
                "zca": False,
                "normalized": True,
                "soft_labels": "logits",
                "mean": (1.0, 2.0),
                "std": (1.0, 1.0),
            },
            "2",
        ),
    ],
)
def test_a_wrong_guess_is_caught(write, digits, layout, options, says):
    with pytest.raises(ImportSetError, match=says):
        take(write(layout).path, digits, **options)


def test_the_check_can_be_left_out(write, digits):
    assert take(write("dc").path, digits, normalized=False, check=False).images.min() < -0.5


def test_bytes_as_floats_are_distinguished_from_pixels(tmp_path, digits, native_set):
    torch.save([native_set.images * 255, native_set.labels], tmp_path / "data.pt")
    with pytest.raises(ImportSetError, match=r"bytes from 0 to 255; pass --normalised 0,0\.0039"):
        take(tmp_path / "data.pt", digits, partition=1)
    imported = take(
        tmp_path / "data.pt", digits, partition=1, normalized=True, mean=(0.0,), std=(1 / 255,)
    )
    torch.testing.assert_close(imported.images, native_set.images)


def test_distilled_images_far_outside_0_1_pass(digits, native_set):
    """Strongly distilled pixels, with noise as strong as the data, must not look like a mistake."""
    from distill_core.importers.pixels import find_contradiction

    noise = torch.randn(native_set.images.shape, generator=torch.Generator().manual_seed(0))
    assert find_contradiction(native_set.images + 0.1 * noise, digits.info) is None
    assert find_contradiction(digits.info.mean[0] + digits.info.std[0] * noise, digits.info) is None


def test_a_set_of_another_data_set(write, digits):
    other = dataclasses.replace(digits, info=dataclasses.replace(digits.info, name="other"))
    with pytest.raises(ImportSetError, match="a set of digits with 10 classes, not of other"):
        take(write("native").path, other)
    wide = dataclasses.replace(digits, info=dataclasses.replace(digits.info, image_size=28))
    with pytest.raises(
        ImportSetError, match="images of 1 × 32 × 32, those of digits are 1 × 28 × 28"
    ):
        take(write("dc").path, wide)
