"""Losses of long-tailed classification, each plain or class-balanced by the effective number of samples.

Shapes: logits are [N, C] (any floating dtype; the arithmetic is done in float32 at least), targets are
[N] int64 in [0, C), class weights are [C]. Every loss returns a scalar.

    Lin, Goyal, Girshick, He, Dollár. Focal Loss for Dense Object Detection. ICCV 2017. arXiv:1708.02002
    Cui, Jia, Lin, Song, Belongie. Class-Balanced Loss Based on Effective Number of Samples. CVPR 2019. arXiv:1901.05555
    Cao, Wei, Gaidon, Arechiga, Ma. Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss.
        NeurIPS 2019. arXiv:1906.07413
    Ren, Yu, Sheng, Ma, Zhao, Yi, Li. Balanced Meta-Softmax for Long-Tailed Visual Recognition. NeurIPS 2020.
        arXiv:2007.10740
    Menon, Jayasumana, Rawat, Jain, Veit, Kumar. Long-Tail Learning via Logit Adjustment. ICLR 2021. arXiv:2007.07314
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.system.errors import UserError

SCALE = 30.0  # of cosines that are logits (Cao et al. 2019)


def effective_number(counts: Sequence[int], beta: float) -> Tensor:
    """Effective number of samples E_n = (1 - beta^n) / (1 - beta) (Cui et al. 2019, proposition 1).

    `counts` are the training images per class, [C]. At beta = 0 every E_n is 1; at 1 the limit, E_n = n. Returns
    float64 [C]. Raises UserError for a beta outside [0, 1] or a class without images.
    """
    n = torch.as_tensor(counts, dtype=torch.float64)
    if not 0 <= beta <= 1:
        raise UserError(f"beta has to lie in [0, 1], not {beta}.")
    if (n < 1).any():
        empty = [k for k, count in enumerate(n.tolist()) if count < 1]
        raise UserError(f"Class weights need at least one image in every class; none in class {empty}.")
    if beta == 1:
        return n
    # expm1 keeps the digits that 1 - beta^n loses for beta close to 1. At 0 the logarithm is -inf, and the result is 1.
    log_beta = torch.log1p(torch.tensor(beta - 1, dtype=torch.float64))
    return torch.expm1(n * log_beta) / (beta - 1)


def class_balanced_weights(counts: Sequence[int], beta: float) -> Tensor:
    """Weights 1 / E_n, scaled to sum to the number of classes (Cui et al. 2019, section 4).

    beta = 0 gives equal weights, beta -> 1 inverse class frequency. Returns float32 [C]; errors as `effective_number`.
    """
    weights = 1 / effective_number(counts, beta)
    return (weights * len(weights) / weights.sum()).float()


def _reduce(per_image: Tensor, image_weights: Tensor, reduction: str) -> Tensor:
    """Weighted sum of the losses [N], over N ("count", Cui et al.) or the sum of the weights ("weights", torch)."""
    total = (image_weights * per_image).sum()
    return total / (image_weights.sum() if reduction == "weights" else len(per_image))


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor, reduction: str = "count") -> Tensor:
    """Softmax cross-entropy: mean of w_y * -log p_y."""
    per_image = F.cross_entropy(logits.float(), targets, reduction="none")
    return _reduce(per_image, weights[targets], reduction)


def focal(logits: Tensor, targets: Tensor, weights: Tensor, gamma: float, reduction: str = "count") -> Tensor:
    """Softmax focal loss: mean of w_y * (1 - p_y)^gamma * -log p_y (Lin et al. 2017).

    p_y is the *unweighted* probability of the true class, untouched by the class weight. gamma = 0 is cross-entropy.
    """
    minus_log_p = F.cross_entropy(logits.float(), targets, reduction="none")
    # 1 - p_y without cancellation. The clamp keeps the slope of x^gamma finite at x = 0 for gamma < 1,
    # where the loss itself is zero; at 1e-12 it is far below what float32 probabilities resolve.
    not_p = -torch.expm1(-minus_log_p)
    factor = not_p.clamp_min(1e-12) ** gamma if gamma else torch.ones_like(not_p)
    return _reduce(factor * minus_log_p, weights[targets], reduction)


def sigmoid_focal(logits: Tensor, targets: Tensor, weights: Tensor, gamma: float, reduction: str = "count") -> Tensor:
    """Sigmoid focal loss over all C logits, the form of Cui et al. 2019 (section 4, "Focal loss").

    With z = +logit for the true class and -logit for the others, each image contributes
    w_y * sum_c (1 - sigmoid(z_c))^gamma * -log sigmoid(z_c).
    """
    logits = logits.float()
    sign = 2 * F.one_hot(targets, logits.shape[1]).to(logits.dtype) - 1
    z = sign * logits
    # (1 - sigmoid(z))^gamma = exp(gamma * logsigmoid(-z)): the textbook form overflows below z = -88.
    per_class = torch.exp(gamma * F.logsigmoid(-z)) * -F.logsigmoid(z)
    return _reduce(per_class.sum(dim=1), weights[targets], reduction)


def ldam_margins(counts: Sequence[int], largest: float = 0.5) -> Tensor:
    """Margins of LDAM (Cao et al. 2019), [C]: proportional to n^(-1/4), `largest` for the rarest class."""
    n = torch.as_tensor(counts, dtype=torch.float64)
    return (largest * (n.min() / n) ** 0.25).float()


#: loss(logits [N, C], targets [N], epoch): the scalar loss of a batch; the epoch counts from 1, which is its default.
Loss = Callable[..., Tensor]


@dataclass(frozen=True)
class LossSettings:
    """Everything that a loss may be built from."""

    counts: Sequence[int]  # training images per class, [C]
    beta: float | None = None  # class-balancing strength; None: every class weighs 1
    gamma: float = 0.0  # focusing strength
    reduction: str = "count"  # "count" or "weights", see _reduce
    tau: float = 0.0  # strength of logit adjustment
    deferred: int = 0  # epochs before beta and tau act
    epochs: int = 1  # of the network, for a loss that changes on the way; cRT's last layer is trained after them
    device: str | torch.device = "cpu"

    def weights(self) -> Tensor:
        """Class weights [C] on the device."""
        weights = torch.ones(len(self.counts)) if self.beta is None else class_balanced_weights(self.counts, self.beta)
        return weights.to(self.device)


@dataclass(frozen=True)
class LossKind:
    """A line of the registry: how a loss is built, and what else a run has to know about it."""

    build: Callable[[LossSettings], Loss]
    label: str  # as the field writes it
    has_gamma: bool = True
    has_tau: bool = False
    #: Trained as C independent sigmoids: confidence is the largest sigmoid, the output bias starts at -log(C - 1) and
    #: has no weight decay (Cui et al. 2019, section 5.1).
    sigmoid: bool = False
    #: Trained with `models.CosineOutput`, whose logits are SCALE times the cosines of features and class weights.
    cosine: bool = False
    progressive: bool = True  # it may read `LossSettings.epochs`; if not, runs of other lengths share epochs with it


def _constant(function: Callable[..., Tensor], settings: LossSettings, focusing: bool = True) -> Loss:
    """A loss that is the same in every epoch; a `focusing` one has a gamma."""
    bound: dict[str, Any] = {"weights": settings.weights(), "reduction": settings.reduction}
    bound |= {"gamma": settings.gamma} if focusing else {}
    return lambda logits, targets, epoch=1: function(logits, targets, **bound)


def _adjusted(settings: LossSettings) -> Loss:
    """Cross-entropy of logits + tau log prior (Menon et al. 2021); tau 1 is the balanced softmax (Ren et al. 2020)."""
    if not settings.tau:
        return _constant(cross_entropy, settings, focusing=False)
    counts = torch.as_tensor(settings.counts, dtype=torch.float64)
    offset = (settings.tau * (counts / counts.sum()).log()).float().to(settings.device)
    plain = _constant(cross_entropy, settings, focusing=False)
    return lambda logits, targets, epoch=1: plain(logits + offset, targets)


def _ldam(settings: LossSettings) -> Loss:
    """Cross-entropy with the true class's logit lowered by its margin; logits and margins are scaled alike."""
    margins = SCALE * ldam_margins(settings.counts).to(settings.device)
    plain = _constant(cross_entropy, settings, focusing=False)

    def loss(logits: Tensor, targets: Tensor, epoch: int = 1) -> Tensor:
        return plain(logits - F.one_hot(targets, len(margins)) * margins, targets)

    return loss


#: Every loss by the name that parameter files use. A new loss is added here.
LOSSES: dict[str, LossKind] = {
    "cross_entropy": LossKind(_adjusted, "CE", has_gamma=False, has_tau=True, progressive=False),
    "ldam": LossKind(_ldam, "LDAM", has_gamma=False, cosine=True, progressive=False),
    "focal": LossKind(partial(_constant, focal), "Focal", progressive=False),
    "sigmoid_focal": LossKind(partial(_constant, sigmoid_focal), "Sigmoid focal", sigmoid=True, progressive=False),
}


def build(name: str, **settings: Any) -> Loss:
    """Build the loss `name`, a key of LOSSES, from the fields of `LossSettings`.

    Deferred re-weighting (Cao et al. 2019) is that of any loss: class weights and logit adjustment act from epoch
    `deferred` + 1 on.
    """
    chosen, make = LossSettings(**settings), LOSSES[name].build
    if not chosen.deferred:
        return make(chosen)
    early, late = make(replace(chosen, beta=None, tau=0.0, reduction="count")), make(chosen)
    return lambda logits, targets, epoch=1: (late if epoch > chosen.deferred else early)(logits, targets, epoch)
