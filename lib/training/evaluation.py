"""Evaluation of a model on a set of images, without augmentation."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data import Dataset, ImageSet
from lib.training.optimizer import autocast
from lib.training.results import Evaluation

#: Images at a time. On a CPU, few enough that a layer's output stays in the cache; the logits are the same to
#: the last bit. A GPU wants them many.
_BATCH = {"cpu": 50, "cuda": 1000}
_BINS = 15


@torch.inference_mode()
def predict(model: nn.Module, images: Tensor, precision: str, dataset: Dataset) -> Tensor:
    """Logits, float32 [N, C], of uint8 images [N, 3, H, W], normalised as `dataset`; leaves the model in eval mode."""
    model.eval()
    parts = images.split(_BATCH[images.device.type])
    with autocast(images.device, precision):
        return torch.cat([model(dataset.normalise(part)).float() for part in parts])


def evaluate(model: nn.Module, images: ImageSet, precision: str, dataset: Dataset, sigmoid: bool = False) -> Evaluation:
    """`measure` of a model's logits on a set of images; arguments as for `predict` and `measure`."""
    return measure(predict(model, images.images, precision, dataset), images.labels, sigmoid)


def measure(logits: Tensor, labels: Tensor, sigmoid: bool = False) -> Evaluation:
    """Confusion matrix, cross-entropy and calibration of logits [N, C] for labels [N].

    With `sigmoid` the logits were trained as C independent sigmoids, and confidence is the largest sigmoid. (The loss
    reported is the softmax cross-entropy all the same, so that runs can be compared.)
    """
    classes = logits.shape[1]
    confidence, predicted = (torch.sigmoid(logits) if sigmoid else logits.softmax(1)).max(dim=1)
    confusion = torch.bincount(labels * classes + predicted, minlength=classes**2)
    return Evaluation(
        loss=F.cross_entropy(logits, labels).item(),
        confusion=confusion.view(classes, classes).tolist(),
        calibration_error=expected_calibration_error(confidence, predicted == labels),
    )


def expected_calibration_error(confidence: Tensor, correct: Tensor) -> float:
    """Expected calibration error over 15 equal bins of confidence [N] (Guo et al. 2017, arXiv:1706.04599)."""
    bins = (confidence * _BINS).ceil().long().clamp(1, _BINS) - 1  # bins are open on the left
    gap = torch.zeros(_BINS, dtype=torch.float64, device=confidence.device)
    gap.index_add_(0, bins, correct.double() - confidence.double())
    return gap.abs().sum().item() / len(confidence)
