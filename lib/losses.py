"""Cross-entropy and focal loss, each plain or class-balanced by the effective number of samples.

Shapes: logits are [N, C] (any floating dtype; the arithmetic is done in float32 at least), targets are
[N] int64 in [0, C), class weights are [C]. Every loss returns a scalar.

    Lin, Goyal, Girshick, He, Dollár. Focal Loss for Dense Object Detection. ICCV 2017. arXiv:1708.02002
    Cui, Jia, Lin, Song, Belongie. Class-Balanced Loss Based on Effective Number of Samples. CVPR 2019.
    arXiv:1901.05555
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.system.errors import UserError

Loss = Callable[[Tensor, Tensor], Tensor]

#: "count": divided by the number of images N (Cui et al.).
#: "weights": by the sum of their class weights, as torch.nn.functional.cross_entropy(weight=...) does.
NORMALISATIONS = ("count", "weights")


def effective_number(counts: Sequence[int], beta: float) -> Tensor:
    """Effective number of samples E_n = (1 - beta^n) / (1 - beta) (Cui et al. 2019, proposition 1).

    Args:
        counts: training images per class, [C], each at least 1.
        beta: in [0, 1]. At 0 every E_n is 1; at 1 the limit, E_n = n.

    Returns:
        float64 tensor [C].

    Raises:
        UserError: for a beta outside [0, 1] or a class without images.
    """
    n = torch.as_tensor(counts, dtype=torch.float64)
    if not 0 <= beta <= 1:
        raise UserError(f"beta has to lie in [0, 1], not {beta}.")
    if (n < 1).any():
        empty = [k for k, count in enumerate(n.tolist()) if count < 1]
        raise UserError(f"Class weights need at least one image in every class; none in class {empty}.")
    if beta == 1:
        return n
    if beta == 0:
        return torch.ones_like(n)
    # expm1 keeps the digits that 1 - beta^n loses for beta close to 1.
    log_beta = torch.log1p(torch.tensor(beta - 1, dtype=torch.float64))
    return torch.expm1(n * log_beta) / (beta - 1)


def class_balanced_weights(counts: Sequence[int], beta: float) -> Tensor:
    """Weights 1 / E_n, scaled to sum to the number of classes (Cui et al. 2019, section 4).

    beta = 0 gives equal weights, beta -> 1 inverse class frequency. Returns float32 [C]; errors as
    `effective_number`.
    """
    weights = 1 / effective_number(counts, beta)
    return (weights * len(weights) / weights.sum()).float()


def neutral_betas(counts: Sequence[int], betas: Sequence[float]) -> list[float]:
    """The betas whose class weights are all exactly 1 in float32, and which are therefore one computation.

    For the long-tailed CIFAR-10 with 50 images in its rarest class that is every beta up to about 0.7: what
    beta^n takes from the weights is below single precision.
    """
    return [beta for beta in betas if bool((class_balanced_weights(counts, beta) == 1).all())]


def beta_groups(counts: Sequence[int], betas: Sequence[float], tolerance: float = 1e-3) -> list[list[float]]:
    """Ascending betas, those together whose class weights agree: no run could tell them apart.

    Args:
        tolerance: largest relative difference of a class's weight to that of the group's first beta.
    """
    found: list[list[float]] = []
    for beta in sorted(betas):
        weights = class_balanced_weights(counts, beta)
        if found:
            first = class_balanced_weights(counts, found[-1][0])
            if ((weights / first - 1).abs() <= tolerance).all():
                found[-1].append(beta)
                continue
        found.append([beta])
    return found


def _reduce(per_image: Tensor, image_weights: Tensor, normalisation: str) -> Tensor:
    """Weighted sum of the per-image losses [N], divided as `normalisation` says."""
    total = (image_weights * per_image).sum()
    return total / (image_weights.sum() if normalisation == "weights" else len(per_image))


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor, normalisation: str = "count") -> Tensor:
    """Softmax cross-entropy: mean of w_y * -log p_y."""
    per_image = F.cross_entropy(logits.float(), targets, reduction="none")
    return _reduce(per_image, weights[targets], normalisation)


def focal(logits: Tensor, targets: Tensor, weights: Tensor, gamma: float, normalisation: str = "count") -> Tensor:
    """Softmax focal loss: mean of w_y * (1 - p_y)^gamma * -log p_y.

    p_y is the *unweighted* probability of the true class: the class weight scales the loss and leaves the
    focal factor alone. gamma = 0 is cross-entropy.
    """
    minus_log_p = F.cross_entropy(logits.float(), targets, reduction="none")
    # 1 - p_y without cancellation. The clamp keeps the slope of x^gamma finite at x = 0 for gamma < 1,
    # where the loss itself is zero; at 1e-12 it is far below what float32 probabilities resolve.
    not_p = -torch.expm1(-minus_log_p)
    factor = not_p.clamp_min(1e-12) ** gamma if gamma else torch.ones_like(not_p)
    return _reduce(factor * minus_log_p, weights[targets], normalisation)


def sigmoid_focal(
    logits: Tensor, targets: Tensor, weights: Tensor, gamma: float, normalisation: str = "count"
) -> Tensor:
    """Sigmoid focal loss over all C logits, the form used by Cui et al. 2019 (section 4, "Focal loss").

    With z = +logit for the true class and -logit for the others, each image contributes
    w_y * sum_c (1 - sigmoid(z_c))^gamma * -log sigmoid(z_c). The paper pairs it with an output bias of
    -log(C - 1) and no weight decay on that bias; the training loop does so for this loss.
    """
    logits = logits.float()
    sign = 2 * F.one_hot(targets, logits.shape[1]).to(logits.dtype) - 1
    z = sign * logits
    # (1 - sigmoid(z))^gamma = exp(gamma * logsigmoid(-z)): the textbook form overflows below z = -88.
    per_class = torch.exp(gamma * F.logsigmoid(-z)) * -F.logsigmoid(z)
    return _reduce(per_class.sum(dim=1), weights[targets], normalisation)


#: Every loss by the name that parameter files use. A new loss is added here and called as
#: loss(logits, targets, weights, [gamma,] normalisation=...).
LOSSES = {"cross_entropy": cross_entropy, "focal": focal, "sigmoid_focal": sigmoid_focal}


def build(
    name: str,
    *,
    counts: Sequence[int],
    beta: float | None = None,
    gamma: float = 0.0,
    normalisation: str = "count",
    device: str | torch.device = "cpu",
) -> Loss:
    """Bind one loss to its settings: a function of (logits [N, C], targets [N]).

    Args:
        name: a key of LOSSES.
        counts: training images per class, [C].
        beta: class-balancing strength; None is the plain loss (all weights 1).
        gamma: focusing strength, at least 0; ignored by cross-entropy.
        normalisation: "count" or "weights".

    Raises:
        UserError: for an unknown loss or normalisation, a negative gamma, or what `effective_number` refuses.
    """
    if name not in LOSSES:
        raise UserError(f"There is no loss {name!r}; known losses: {', '.join(LOSSES)}.")
    if normalisation not in NORMALISATIONS:
        known = ", ".join(NORMALISATIONS)
        raise UserError(f"There is no normalisation {normalisation!r}; known ones: {known}.")
    if gamma < 0:
        raise UserError(f"gamma has to be at least 0, not {gamma}.")
    weights = torch.ones(len(counts)) if beta is None else class_balanced_weights(counts, beta)
    weights = weights.to(device)
    function = LOSSES[name]
    settings = {"weights": weights, "normalisation": normalisation}
    if name != "cross_entropy":
        settings["gamma"] = gamma
    return lambda logits, targets: function(logits, targets, **settings)
