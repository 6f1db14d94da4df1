import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill_core.datasets.image_set import ImageSet
from distill_core.datasets.info import DatasetError
from distill_core.datasets.splits import draw_stratified_mask, hold_out


def numbered(counts, name="test"):
    """Images whose two pixels encode their number."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    numbers = torch.arange(len(labels))
    images = torch.stack((numbers // 256, numbers % 256), dim=1).to(torch.uint8).view(-1, 1, 1, 2)
    return ImageSet.build(images, labels, classes=len(counts), name=name, mean=(0.5,), std=(0.5,))


def contents(images):
    return set(map(tuple, images.images.flatten(1).tolist()))


@given(st.lists(st.integers(2, 60), min_size=1, max_size=6), st.floats(0.05, 0.9))
@settings(deadline=None)
def test_hold_out_is_stratified_and_disjoint(counts, fraction):
    images = numbered(counts)
    train, validation = hold_out(images, fraction)
    assert contents(train).isdisjoint(contents(validation))
    assert contents(train) | contents(validation) == contents(images)
    for kept, held, count in zip(train.counts, validation.counts, counts, strict=True):
        assert kept + held == count
        assert min(kept, held) >= 1
        assert abs(held - fraction * count) <= 1


def test_hold_out_is_fixed_by_the_name_of_the_data_set():
    first, second, other = (hold_out(numbered([50, 50], name))[1] for name in ("a", "a", "b"))
    assert contents(first) == contents(second) != contents(other)
    assert first.counts == other.counts == (5, 5)


def test_hold_out_never_changes():
    mask = draw_stratified_mask(torch.zeros(10).long(), 0.3, purpose="hold-out", name="a")
    assert mask.nonzero().flatten().tolist() == [2, 3, 6]


def test_class_of_one_image_cannot_be_split():
    with pytest.raises(DatasetError, match="class 1 has one image"):
        hold_out(numbered([3, 1]))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1])
def test_fraction_must_leave_both_sides_something(fraction):
    with pytest.raises(DatasetError, match="between 0 and 1"):
        hold_out(numbered([3, 3]), fraction)


@given(st.lists(st.integers(2, 60), min_size=1, max_size=6), st.data())
@settings(deadline=None)
def test_restricted_set_holds_out_what_the_whole_set_does(counts, data):
    images = numbered(counts)
    classes = data.draw(st.lists(st.sampled_from(range(len(counts))), min_size=1, unique=True))
    whole = [part.keep_classes(classes) for part in hold_out(images)]
    for part, expected in zip(hold_out(images.keep_classes(classes)), whole, strict=True):
        assert torch.equal(part.images, expected.images)
        assert torch.equal(part.labels, expected.labels)
    first = hold_out(images.keep_classes(classes).keep_classes([0]))[1]
    assert contents(first) == set(map(tuple, whole[1].images_of_class(0).flatten(1).tolist()))
