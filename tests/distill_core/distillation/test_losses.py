import pytest
import torch

from distill_core.distillation.losses import (
    class_centralization,
    covariance_matching,
    global_covariance_matching,
    local_covariance,
    mean_matching,
)


def features(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_mean_matching_by_hand():
    real = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    synthetic = torch.tensor([[[0.0, 0.0]]])
    assert mean_matching(real, synthetic) == pytest.approx(2**2 + 3**2)


def test_class_centralization_by_hand():
    synthetic = torch.tensor([[[0.0], [2.0]], [[1.0], [5.0]]])
    assert class_centralization(synthetic) == pytest.approx(1 + 1 + 4 + 4)


def test_exponential_form_is_cut_off_at_zero():
    synthetic = torch.tensor([[[0.0], [2.0]], [[1.0], [5.0]]], dtype=torch.float64)
    e = torch.tensor([0.5, 2.0], dtype=torch.float64).exp()
    assert class_centralization(synthetic, alpha=0.5, beta=1.0).item() == pytest.approx(
        2 * float((e - 1).sum())
    )
    assert class_centralization(synthetic, alpha=0.5, beta=2.0).item() == pytest.approx(
        2 * float(e[1] - 2)
    )


def test_local_covariance_is_a_sum_over_positions_divided_by_images_only():
    maps = features(1, 6, 3, 5)
    centered = maps[0] - maps[0].mean(0)
    expected = sum(f @ f.T for f in centered) / 6
    torch.testing.assert_close(local_covariance(maps)[0], expected)


@pytest.mark.parametrize("loss", ["mean", "cc", "cm", "global"])
def test_batched_equals_looped_over_classes(loss):
    real, synthetic = features(4, 7, 3, 5), features(4, 2, 3, 5, seed=1)
    functions = {
        "mean": lambda r, s: mean_matching(r.flatten(2), s.flatten(2)),
        "cc": lambda r, s: class_centralization(s.flatten(2)),
        "cm": covariance_matching,
        "global": lambda r, s: global_covariance_matching(r.flatten(2), s.flatten(2)),
    }
    batched = functions[loss](real, synthetic)
    looped = sum(functions[loss](real[c : c + 1], synthetic[c : c + 1]) for c in range(4))
    torch.testing.assert_close(batched, looped)


@pytest.mark.parametrize(
    "loss",
    [
        class_centralization,
        lambda s: covariance_matching(features(2, 5, 3, 4), s.view(2, 1, 3, 4)),
        lambda s: global_covariance_matching(features(2, 5, 12), s),
    ],
)
def test_one_image_a_class_has_no_gradient(loss):
    synthetic = features(2, 1, 12).requires_grad_()
    loss(synthetic).backward()
    assert synthetic.grad.abs().max() == 0


def test_losses_do_not_depend_on_the_order_of_images():
    real, synthetic = features(2, 7, 3, 5), features(2, 4, 3, 5, seed=1)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(
        covariance_matching(real, synthetic), covariance_matching(real, synthetic[:, order])
    )
    torch.testing.assert_close(
        class_centralization(synthetic.flatten(2)),
        class_centralization(synthetic[:, order].flatten(2)),
    )


def test_gradient_of_class_centralization_flows_through_the_mean():
    synthetic = features(1, 3, 4).requires_grad_()
    class_centralization(synthetic).backward()
    # d/ds Σ‖s_j − s̄‖² = 2(s − s̄) exactly because the gradient through the mean cancels.
    torch.testing.assert_close(
        synthetic.grad, 2 * (synthetic - synthetic.mean(1, keepdim=True)).detach()
    )


@pytest.mark.parametrize(
    ("real", "synthetic"),
    [((2, 3, 4), (3, 3, 4)), ((2, 3, 4), (2, 3, 5)), ((2, 3), (2, 3)), ((2, 3, 4), (2, 3, 4, 1))],
)
def test_shapes_that_do_not_fit_are_named(real, synthetic):
    with pytest.raises(ValueError, match="mean_matching"):
        mean_matching(torch.zeros(real), torch.zeros(synthetic))


def explicit_global_covariance(real, synthetic):
    """The definition itself, with D×D matrices."""
    covariances = []
    for part in (real, synthetic):
        centered = part - part.mean(1, keepdim=True)
        covariances.append(centered.transpose(1, 2) @ centered / part.shape[1])
    return (covariances[0] - covariances[1]).square().sum()


def test_global_covariance_by_hand():
    """Covariances [[1, 1], [1, 1]] and [[0, 0], [0, 4]]: 1 + 1 + 1 + 9."""
    real, synthetic = (
        torch.tensor([[[1.0, 1.0], [3.0, 3.0]]]),
        torch.tensor([[[5.0, 0.0], [5.0, 4.0]]]),
    )
    assert global_covariance_matching(real, synthetic).item() == pytest.approx(12)


@pytest.mark.parametrize("apart", [1.0, 1e-3])
def test_global_covariance_of_float32_features_is_accurate_even_where_its_terms_cancel(apart):
    """With `apart` 1e-3 the loss is a millionth of each of its terms."""
    real = 3 + features(2, 24, 2048)
    real, synthetic = real.float(), (real + apart * features(2, 24, 2048, seed=1)).float()
    leaf, exact_leaf = synthetic.clone().requires_grad_(), synthetic.double().requires_grad_()
    loss, exact = (
        global_covariance_matching(real, leaf),
        explicit_global_covariance(real.double(), exact_leaf),
    )
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=1e-6)
    (gradient,), (expected,) = (
        torch.autograd.grad(loss, leaf),
        torch.autograd.grad(exact, exact_leaf),
    )
    torch.testing.assert_close(
        gradient.double(), expected, rtol=1e-5, atol=1e-6 * expected.abs().max().item()
    )


def test_gradient_of_global_covariance_equals_finite_differences():
    real, synthetic = features(2, 5, 6), features(2, 3, 6, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: global_covariance_matching(real, s), synthetic)


def test_global_covariance_of_maps_with_one_position_is_the_local_one():
    real, synthetic = features(3, 6, 5, 1), features(3, 4, 5, 1, seed=1)
    expected = covariance_matching(real, synthetic)
    torch.testing.assert_close(
        global_covariance_matching(real.flatten(2), synthetic.flatten(2)), expected
    )
    wide, other = features(3, 6, 5, 2), features(3, 4, 5, 2, seed=1)
    assert global_covariance_matching(wide.flatten(2), other.flatten(2)) > covariance_matching(
        wide, other
    )


def test_equal_batches_have_equal_global_covariance():
    batch = features(2, 7, 40)
    scale = explicit_global_covariance(batch, torch.zeros_like(batch))
    assert abs(global_covariance_matching(batch, batch.clone())) < 1e-13 * scale
    assert abs(global_covariance_matching(batch, 5 + batch.flip(1))) < 1e-13 * scale


def test_global_covariance_names_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="global_covariance_matching"):
        global_covariance_matching(torch.zeros(2, 3, 4), torch.zeros(2, 3, 5))
