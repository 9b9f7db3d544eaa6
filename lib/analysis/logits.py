"""Results from the logits that runs keep of their last epoch on the test set: [N, C], by seed.

Logit adjustment: Menon et al., Long-Tail Learning via Logit Adjustment, ICLR 2021, arXiv:2007.07314. Temperature
scaling: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, arXiv:1706.04599. Tau-normalisation: Kang
et al., Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020, arXiv:1910.09217.
"""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from lib.analysis.tables import with_interval
from lib.training.evaluation import measure

Logits = Mapping[int, Tensor]


def adjusted(logits: Tensor, counts: Sequence[int], tau: float = 1.0) -> Tensor:
    """Subtract tau times the log frequency of each training class: the answer for classes that are equally frequent."""
    frequency = torch.tensor(counts, dtype=logits.dtype) / sum(counts)
    return logits - tau * frequency.log()


def tau_normalised(logits: Tensor, weight: Tensor, bias: Tensor, tau: float = 1.0) -> Tensor:
    """Divide each class's logit by the norm of its weights to the power of tau; `weight` [C, F] and `bias` of `output`.

    The bias is taken away first: it is no part of the method.
    """
    return (logits - bias) / weight.norm(dim=1) ** tau


def temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature, from 0.05 to 20, that minimises the cross-entropy of logits / temperature."""

    def loss(log: float) -> float:
        return F.cross_entropy(logits / np.exp(log), labels).item()

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def scaled(logits: Tensor, labels: Tensor) -> Tensor:
    """Divide every other image's logits by the temperature that fits the others, so that none is fitted to itself."""
    result, halves = torch.empty_like(logits), (slice(0, None, 2), slice(1, None, 2))
    for part, other in (halves, halves[::-1]):
        result[part] = logits[part] / temperature(logits[other], labels[other])
    return result


def table(settings: Mapping[str, Logits], labels: Tensor, counts: Sequence[int]) -> pd.DataFrame:
    """One row per setting: accuracy and calibration error in percent, as trained and after each correction."""
    rows = {}
    for name, by_seed in settings.items():
        plain, moved, cooled = (
            [measure(change(logits), labels) for logits in by_seed.values()]
            for change in (lambda z: z, lambda z: adjusted(z, counts), lambda z: scaled(z, labels))
        )
        rows[name] = {
            "accuracy": with_interval([e.accuracy for e in plain]),
            "with logit adjustment": with_interval([e.accuracy for e in moved]),
            "calibration error": with_interval([e.calibration_error for e in plain]),
            "with temperature": with_interval([e.calibration_error for e in cooled]),
            "seeds": len(by_seed),
        }
    return pd.DataFrame(rows).T.rename_axis("%")


def bootstrap(a: np.ndarray, b: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """95 % interval of the accuracy of `a` less that of `b`, both [seeds, N] correct, over seeds and test images.

    A crossed bootstrap: each draw takes the same images for all runs, and seeds of each setting, with replacement. With
    few seeds it is too narrow, as the bootstrap of few values is.
    """
    random, images = np.random.default_rng(0), a.shape[1]
    weights = random.multinomial(images, np.full(images, 1 / images), draws).T / images  # [N, draws]
    means = [random.multinomial(len(x), np.full(len(x), 1 / len(x)), draws) / len(x) for x in (a, b)]  # [draws, seeds]
    gains = [(chosen * (x @ weights).T).sum(axis=1) for chosen, x in zip(means, (a, b), strict=True)]
    low, high = np.quantile(gains[0] - gains[1], [0.025, 0.975])
    return float(low), float(high)


def mcnemar(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Images that one of a pair [N] alone classifies correctly, and McNemar's exact p, [pairs, 3]."""
    from scipy.stats import binomtest  # half a second, which a notebook's start need not wait for

    counts = [(int((x & ~y).sum()), int((y & ~x).sum())) for x, y in pairs]
    return np.array([(n, m, binomtest(n, n + m).pvalue if n + m else 1.0) for n, m in counts])


def compare(a: Logits, b: Logits, labels: Tensor) -> SimpleNamespace:
    """Gain of `a` over `b` with its bootstrap interval, and McNemar's test of the runs of equal seeds, at least one."""
    x, y = ({seed: (z.argmax(1) == labels).numpy() for seed, z in by_seed.items()} for by_seed in (a, b))
    first, second = (np.array([*right.values()]) for right in (x, y))  # [seeds, N]
    (low, high), gain = bootstrap(first, second), first.mean() - second.mean()
    pairs = mcnemar([(right, y[seed]) for seed, right in x.items() if seed in y])
    n, m, _ = pairs.mean(axis=0)  # images that one of a pair alone classifies correctly
    return SimpleNamespace(gain=gain, low=low, high=high, pairs=len(pairs), first=n, second=m, p=pairs[:, 2].max())
