import hashlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill_core.datasets.image_set import ImageSet, compute_fingerprint
from distill_core.datasets.info import DatasetError


def build(labels, channels=1, size=2, classes=None, **fields):
    """An image set; the first pixel of an image is its number in the order of `labels`."""
    labels = torch.tensor(labels)
    images = torch.zeros(len(labels), channels, size, size, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(len(labels))
    statistics = {"mean": (0.25,) * channels, "std": (0.5,) * channels}
    classes = classes or int(labels.max()) + 1
    return ImageSet.build(images, labels, classes=classes, name="test", **{**statistics, **fields})


def numbers(images):
    return images[..., 0, 0, 0].tolist()


def seeded(seed):
    return torch.Generator().manual_seed(seed)


counts = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def labels_of(counts):
    return [c for c, count in enumerate(counts) for _ in range(count)]


def test_images_are_grouped_by_class_in_their_order():
    images = build([2, 0, 2, 1, 0], classes=4)
    assert images.labels.tolist() == [0, 0, 1, 2, 2]
    assert numbers(images.images) == [1, 4, 3, 0, 2]
    assert (images.counts, images.offsets) == ((2, 1, 2, 0), (0, 2, 3, 5))
    assert [numbers(images.images_of_class(c)) for c in range(4)] == [[1, 4], [3], [0, 2], []]
    assert (len(images), images.classes, images.channels, images.image_size) == (5, 4, 1, 2)


def test_normalization_is_that_of_the_record():
    images = build([0, 1], channels=3, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))
    expected = (
        images.images.double() / 255 - torch.tensor([0.1, 0.2, 0.3]).double().view(3, 1, 1)
    ) / torch.tensor([0.5, 0.25, 0.125]).double().view(3, 1, 1)
    normalized = images.normalize(images.images)
    assert normalized.dtype == torch.float32
    torch.testing.assert_close(normalized.double(), expected, rtol=1e-6, atol=1e-6)
    index = torch.tensor([[1, 0], [0, 0]])
    assert torch.equal(images.normalized(index), normalized[index])
    assert images.images.dtype == torch.uint8


@given(counts, st.integers(1, 12), st.integers(0, 2**32))
@settings(deadline=None)
def test_draw_gives_distinct_images_of_every_class_while_there_are_any(counts, n, seed):
    images = build(labels_of(counts))
    chosen = images.draw(seeded(seed), n)
    assert chosen.shape == (len(counts), min(n, max(counts)))
    assert (images.labels[chosen] == torch.arange(len(counts))[:, None]).all()
    for row, count in zip(chosen.tolist(), counts, strict=True):
        assert len(set(row)) == min(count, len(row))
        assert row == [row[i % count] for i in range(len(row))]


def test_every_image_is_drawn_equally_often():
    images = build(labels_of([3, 7, 5]))
    draws = torch.stack([images.draw(seeded(seed), 2) for seed in range(3000)])
    for label, count in enumerate(images.counts):
        often = (
            draws[:, label]
            .flatten()
            .bincount(minlength=len(images))[images.offsets[label] :][:count]
        )
        assert (often / (6000 / count) - 1).abs().max() < 0.1
    first = draws[:, 1, 0].bincount(minlength=10)[3:]
    assert (first / (3000 / 7) - 1).abs().max() < 0.2


def test_draw_from_an_empty_class_is_refused():
    with pytest.raises(DatasetError, match="class 1"):
        build([0, 2]).draw(seeded(0), 1)


@given(counts, st.integers(1, 12), st.integers(0, 2**32))
@settings(deadline=None)
def test_batch_is_distinct_and_repeatable(counts, n, seed):
    images = build(labels_of(counts))
    batch = images.draw_batch(seeded(seed), n)
    assert len(set(batch.tolist())) == len(batch) == min(n, len(images))
    assert torch.equal(batch, images.draw_batch(seeded(seed), n))


def test_batches_reach_the_whole_set():
    images = build(labels_of([3, 7, 5]))
    often = torch.cat([images.draw_batch(seeded(seed), 4) for seed in range(3000)]).bincount(
        minlength=15
    )
    assert (often / (3000 * 4 / 15) - 1).abs().max() < 0.15


def test_subset_keeps_classes_and_statistics():
    images = build([0, 0, 1, 2], classes=4)
    part = images.subset(torch.tensor([3, 1]))
    assert numbers(part.images) == [1, 3]
    assert part.counts == (1, 0, 1, 0)
    assert (part.mean, part.std, part.name) == (images.mean, images.std, images.name)


def test_fingerprint_is_of_the_content():
    images = build([1, 0, 1])
    assert images.fingerprint == build([1, 0, 1]).fingerprint == compute_fingerprint(images)
    content = (
        b"(3, 1, 2, 2)"
        + bytes([1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0])
        + bytes([0] * 8 + [1] + [0] * 7 + [1] + [0] * 7)
    )
    assert images.fingerprint == hashlib.sha256(content).hexdigest()[:16]


def test_fingerprint_changes_with_a_pixel_a_label_and_the_shape():
    images = build([0, 1, 1])
    brighter = ImageSet.build(
        images.images.clone().index_put_(
            tuple(torch.tensor([[2], [0], [1], [1]])), torch.tensor(1, dtype=torch.uint8)
        ),
        images.labels,
        classes=2,
        name="test",
        mean=(0.25,),
        std=(0.5,),
    )
    relabeled = build([0, 0, 1])
    reshaped = ImageSet.build(
        images.images.reshape(3, 1, 1, 4),
        images.labels,
        classes=2,
        name="test",
        mean=(0.25,),
        std=(0.5,),
    )
    found = {s.fingerprint for s in (images, brighter, relabeled, reshaped)} | {
        compute_fingerprint(images, brighter)
    }
    assert len(found) == 5


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 1, 2, 2), [0, 1], "uint8"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), [0], "N labels"),
        (torch.zeros(2, 3, 2, 2, dtype=torch.uint8), [0, 1], "3 channels"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), [0, 2], "0 … 1"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), [-1, 0], "0 … 1"),
    ],
)
def test_what_does_not_fit_together_is_refused(images, labels, message):
    with pytest.raises(DatasetError, match=message):
        ImageSet.build(
            images, torch.tensor(labels), classes=2, name="test", mean=(0.5,), std=(0.5,)
        )


@pytest.mark.gpu
def test_gpu_draws_and_fingerprints_like_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    cpu, gpu = build(labels_of([3, 7, 5])), build(labels_of([3, 7, 5]), device="cuda")
    assert torch.equal(cpu.draw(seeded(1), 2), gpu.draw(seeded(1), 2).cpu())
    assert torch.equal(cpu.draw_batch(seeded(1), 9), gpu.draw_batch(seeded(1), 9).cpu())
    assert cpu.fingerprint == gpu.fingerprint
    assert gpu.normalized(gpu.draw(seeded(1), 2)).device.type == "cuda"


@given(counts, st.data())
@settings(deadline=None)
def test_restriction_renumbers_classes_in_the_order_given(counts, data):
    images = build(labels_of(counts))
    classes = data.draw(
        st.permutations(range(len(counts))).map(lambda order: order[: (len(order) + 1) // 2])
    )
    part = images.keep_classes(classes)
    assert part.counts == tuple(counts[c] for c in classes)
    assert part.labels.tolist() == labels_of(part.counts)
    for label, c in enumerate(classes):
        assert torch.equal(part.images_of_class(label), images.images_of_class(c))
    again = part.keep_classes([len(classes) - 1])
    assert torch.equal(again.images, images.images_of_class(classes[-1]))
    assert (again.name, again.mean, again.std) == (images.name, images.mean, images.std)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([3], "test has no class 3; its classes are 0 … 2"),
        ([0, -1], "class -1"),
        ([1, 1], "once"),
        ([], "at least one"),
    ],
)
def test_classes_that_cannot_be_kept_are_named(classes, message):
    with pytest.raises(DatasetError, match=message):
        build([0, 1, 2]).keep_classes(classes)
