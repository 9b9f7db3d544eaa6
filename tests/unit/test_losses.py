"""The losses against float64 formulas written here, independently, and at their limits."""

import math

import pytest
import torch
import torch.nn.functional as F

from lib import losses
from lib.system.errors import UserError

COUNTS = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


def exact_weights(beta):
    """Cui et al. 2019 by exact integer-free arithmetic in Python's floats."""
    numbers = [n if beta == 1 else (1 - beta**n) / (1 - beta) for n in COUNTS]
    inverse = [1 / e for e in numbers]
    return [w * len(COUNTS) / sum(inverse) for w in inverse]


def softmax_focal_by_loops(logits, targets, weights, gamma):
    total = 0.0
    for row, y in zip(logits.tolist(), targets.tolist(), strict=True):
        top = max(row)
        p = math.exp(row[y] - top) / sum(math.exp(v - top) for v in row)
        total += weights[y] * (1 - p) ** gamma * -math.log(p)
    return total


def sigmoid_focal_by_loops(logits, targets, weights, gamma):
    total = 0.0
    for row, y in zip(logits.tolist(), targets.tolist(), strict=True):
        for c, value in enumerate(row):
            p = 1 / (1 + math.exp(-value if c == y else value))
            total += weights[y] * (1 - p) ** gamma * -math.log(p)
    return total


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(64, 10, generator=generator)
    return logits, torch.randint(0, 10, (64,), generator=generator)


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.9, 0.99, 0.999, 0.9999, 1.0])
def test_weights_follow_the_definition(beta):
    weights = losses.class_balanced_weights(COUNTS, beta)
    torch.testing.assert_close(weights, torch.tensor(exact_weights(beta), dtype=torch.float32))
    assert weights.sum().item() == pytest.approx(10, rel=1e-6)


def test_beta_0_gives_equal_weights():
    assert losses.class_balanced_weights(COUNTS, 0.0).tolist() == [1.0] * 10


@pytest.mark.parametrize("beta", [1 - 1e-9, 1 - 1e-13, 1.0])
def test_beta_towards_1_gives_inverse_frequency(beta):
    inverse = torch.tensor([1 / n for n in COUNTS], dtype=torch.float64)
    expected = (inverse * 10 / inverse.sum()).float()
    torch.testing.assert_close(losses.class_balanced_weights(COUNTS, beta), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize(("beta", "ratio"), [(0.0, 1.0), (0.9, 1.005), (0.99, 2.53), (0.999, 20.4), (0.9999, 78.9)])
def test_ratio_of_largest_to_smallest_weight_is_what_the_field_knows(beta, ratio):
    weights = losses.class_balanced_weights(COUNTS, beta)
    assert (weights.max() / weights.min()).item() == pytest.approx(ratio, rel=0.01)


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.9999])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("reduction", ["count", "weights"])
@pytest.mark.parametrize("name", ["cross_entropy", "focal", "sigmoid_focal"])
def test_loss_equals_the_formula(batch, name, beta, gamma, reduction):
    logits, targets = batch
    by_loops = sigmoid_focal_by_loops if name == "sigmoid_focal" else softmax_focal_by_loops
    weights = exact_weights(beta)
    expected = by_loops(logits, targets, weights, 0.0 if name == "cross_entropy" else gamma)
    divisor = len(targets) if reduction == "count" else sum(weights[y] for y in targets.tolist())
    loss = losses.build(name, counts=COUNTS, beta=beta, gamma=gamma, reduction=reduction)
    assert loss(logits, targets).item() == pytest.approx(expected / divisor, rel=2e-5)


def test_plain_loss_has_no_class_weights(batch):
    plain = losses.build("cross_entropy", counts=COUNTS)
    torch.testing.assert_close(plain(*batch), F.cross_entropy(*batch))


def test_reduction_by_weights_is_what_torch_does(batch):
    loss = losses.build("cross_entropy", counts=COUNTS, beta=0.999, reduction="weights")
    weights = losses.class_balanced_weights(COUNTS, 0.999)
    torch.testing.assert_close(loss(*batch), F.cross_entropy(*batch, weight=weights))


def test_gamma_0_is_cross_entropy_in_value_and_gradient(batch):
    logits, targets = batch
    results = []
    for name in ("focal", "cross_entropy"):
        x = logits.clone().requires_grad_()
        value = losses.build(name, counts=COUNTS, beta=0.99, gamma=0.0)(x, targets)
        results.append((value.detach(), *torch.autograd.grad(value, x)))
    for focal, entropy in zip(*results, strict=True):
        torch.testing.assert_close(focal, entropy)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("name", ["focal", "sigmoid_focal"])
def test_gradient_equals_the_slope_in_float64(batch, name, gamma):
    logits, targets = batch
    by_loops = sigmoid_focal_by_loops if name == "sigmoid_focal" else softmax_focal_by_loops
    weights, step = exact_weights(0.999), 1e-5
    x = logits.clone().requires_grad_()
    loss = losses.build(name, counts=COUNTS, beta=0.999, gamma=gamma)(x, targets)
    (gradient,) = torch.autograd.grad(loss, x)
    for i, j in ((0, 0), (1, int(targets[1])), (2, 5), (3, int(targets[3]))):
        up, down = logits.double().clone(), logits.double().clone()
        up[i, j] += step
        down[i, j] -= step
        slope = by_loops(up, targets, weights, gamma) - by_loops(down, targets, weights, gamma)
        assert gradient[i, j].item() == pytest.approx(slope / (2 * step * len(targets)), rel=1e-3, abs=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("name", ["cross_entropy", "focal", "sigmoid_focal"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_logits_stay_finite(name, gamma, dtype):
    logits = torch.full((4, 10), -1e4)
    logits[0, 0] = logits[1, 1] = 1e4  # certain: once right, once wrong
    logits[2] = 1e4
    logits = logits.to(dtype).requires_grad_()
    loss = losses.build(name, counts=COUNTS, beta=0.9999, gamma=gamma)(logits, torch.zeros(4).long())
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_focal_factor_is_free_of_the_class_weight():
    """(1 - p)^gamma must use the plain p: exp(-w * ce) in its place is the popular mistake."""
    logits, target = torch.tensor([[0.3, -0.2, 0.1]]), torch.tensor([1])
    weights = torch.tensor([1.0, 5.0, 1.0])
    weighted = losses.focal(logits, target, weights, gamma=2.0)
    plain = losses.focal(logits, target, torch.ones(3), gamma=2.0)
    assert weighted.item() == pytest.approx(5 * plain.item(), rel=1e-6)


def test_an_empty_class_is_an_error_that_names_it():
    with pytest.raises(UserError, match=r"none in class \[2\]"):
        losses.class_balanced_weights([10, 5, 0], 0.9)


@pytest.mark.parametrize("beta", [-0.1, 1.5, math.nan])
def test_beta_outside_its_range_is_an_error(beta):
    with pytest.raises(UserError, match=r"\[0, 1\]"):
        losses.effective_number(COUNTS, beta)
