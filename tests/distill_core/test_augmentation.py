from dataclasses import fields, replace

import pytest
import torch

from distill_core import augmentation as module
from distill_core.augmentation import Draw, augment, draw_augmentation
from distill_core.settings import DSA_ALL, DSA_OPS


def draw_of(op, groups=1, **values):
    """One operation with given parameters; those not given are zero."""
    integers = {"shift_rows", "shift_columns", "cutout_row", "cutout_column"}
    blank = {
        f.name: torch.zeros(groups, dtype=torch.int64 if f.name in integers else torch.float32)
        for f in fields(Draw)
        if f.name not in ("ops", "op")
    }
    blank |= {name: torch.full_like(blank[name], float(value)) for name, value in values.items()}
    return Draw(ops=frozenset({op}), op=torch.full((groups,), DSA_OPS.index(op)), **blank)


FUNCTIONS = {
    "brightness": module.adjust_brightness,
    "saturation": module.adjust_saturation,
    "contrast": module.adjust_contrast,
    "flip": module.flip,
    "scale": module.scale,
    "rotate": module.rotate,
    "crop": module.crop,
    "cutout": module.cut_out,
}
PARAMETERS = {
    "brightness": ("color", ["brightness"]),
    "saturation": ("color", ["saturation"]),
    "contrast": ("color", ["contrast"]),
    "flip": ("flip", ["flip"]),
    "scale": ("scale", ["scale_x", "scale_y"]),
    "rotate": ("rotate", ["angle"]),
    "crop": ("crop", ["shift_rows", "shift_columns"]),
    "cutout": ("cutout", ["cutout_row", "cutout_column"]),
}


@pytest.mark.parametrize("case", [11, 12, 13])
@pytest.mark.parametrize("name", PARAMETERS)
def test_golden(name, case, golden, image):
    op, parameters = PARAMETERS[name]
    values = golden[f"aug/{name}_{case}/params"].flatten().tolist()
    draw = draw_of(op, **dict(zip(parameters, values, strict=True)))
    out = FUNCTIONS[name](image(4, 3, 32, 32, 3)[None], draw)[0]
    torch.testing.assert_close(out, golden[f"aug/{name}_{case}/out"].float(), rtol=1e-5, atol=1e-5)


def test_every_group_gets_its_operation_as_if_alone(image):
    images = image(12, 3, 32, 32, 5).view(6, 2, 3, 32, 32)
    draw = draw_augmentation(DSA_ALL, 6, 32, torch.Generator().manual_seed(0))
    draw = replace(draw, ops=frozenset(DSA_OPS), op=torch.arange(6))
    together = augment(images, draw)
    for group, op in enumerate(DSA_OPS):
        alone = replace(draw.select(slice(group, group + 1)), ops=frozenset({op}))
        torch.testing.assert_close(
            together[group : group + 1], augment(images[group : group + 1], alone)
        )


def test_siamese_images_of_a_group_change_equally(image):
    one = image(1, 3, 32, 32, 2)[None]
    for op in DSA_OPS:
        draw = draw_augmentation(op, 1, 32, torch.Generator().manual_seed(3))
        both = augment(one.expand(1, 2, -1, -1, -1), draw)
        torch.testing.assert_close(both[:, 0], both[:, 1])


def test_per_image_parameters_differ_with_one_operation(image):
    same = image(1, 3, 32, 32, 2).expand(16, -1, -1, -1)[:, None]
    draw = draw_augmentation(DSA_ALL, 16, 32, torch.Generator().manual_seed(0), same_op=True)
    assert len(draw.ops) == 1 and len(draw.op.unique()) == 1
    assert len(augment(same, draw).flatten(1).unique(dim=0)) > 1


@pytest.mark.parametrize("op", DSA_OPS)
def test_differentiable(op):
    images = torch.randn(
        2,
        1,
        1,
        6,
        6,
        dtype=torch.float64,
        generator=torch.Generator().manual_seed(0),
        requires_grad=True,
    )
    drawn = draw_augmentation(op, 2, 6, torch.Generator().manual_seed(1))
    draw = replace(
        drawn,
        **{
            f.name: getattr(drawn, f.name).double()
            for f in fields(Draw)
            if f.name not in ("ops", "op") and getattr(drawn, f.name).is_floating_point()
        },
    )
    assert torch.autograd.gradcheck(lambda x: augment(x, draw), (images,))


def test_draws_stay_in_their_ranges():
    draw = draw_augmentation(DSA_ALL, 5000, 32, torch.Generator().manual_seed(0))
    assert draw.shift_rows.min() == -4 and draw.shift_rows.max() == 4
    assert draw.cutout_row.min() == 0 and draw.cutout_row.max() == 32
    assert draw.scale_x.min() >= 1 / 1.2 and draw.scale_x.max() <= 1.2
    assert draw.angle.abs().max() <= torch.pi / 12
    assert draw.op.bincount().min() > 5000 / 6 * 0.8


def test_only_named_operations_are_drawn():
    draw = draw_augmentation("color_crop", 500, 32, torch.Generator().manual_seed(0))
    assert draw.ops == {"color", "crop"}


def test_none_leaves_images_alone():
    images = torch.randn(1, 1, 3, 8, 8)
    assert augment(images, draw_augmentation("none", 1, 8, torch.Generator())) is images
