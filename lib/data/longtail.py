"""Long-tailed subsets and stratified splits, as index arrays over any label list.

The subset rule is the write-up's, which is that of LDAM-DRW: for each class in order, the positions of its images are
shuffled by one legacy NumPy generator, seeded once, and the first n_k of them are kept.

Profiles of the counts n_k:
    exponential: int(n * factor^(k / (C - 1))). Cui, Jia, Lin, Song, Belongie. Class-Balanced Loss Based on
        Effective Number of Samples. CVPR 2019. arXiv:1901.05555
    step: the first half of the classes keep all, the others int(n * factor). Cao, Wei, Gaidon, Arechiga, Ma.
        Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss. NeurIPS 2019. arXiv:1906.07413
"""

import numpy as np
from numpy.typing import ArrayLike

from lib.system.errors import UserError

#: Exponent of the factor for class k of several.
PROFILES = {
    "exponential": lambda k, classes: k / max(classes - 1, 1),
    "step": lambda k, classes: int(k >= classes // 2),
}


def class_counts(per_class: int, factor: float, profile: str, classes: int) -> list[int]:
    """Return the training images per class of a long-tailed subset, the most frequent class first.

    Args:
        per_class: images per class before the subset is taken.
        factor: images of the rarest class divided by those of the most frequent one, in (0, 1].

    Raises UserError for another factor, an unknown profile, or a class that would be empty.
    """
    if not 0 < factor <= 1:
        raise UserError(f"The imbalance factor has to lie in (0, 1], not {factor}.")
    if profile not in PROFILES:
        raise UserError(f"There is no imbalance profile {profile!r}; known profiles: {', '.join(PROFILES)}.")
    counts = [int(per_class * factor ** PROFILES[profile](k, classes)) for k in range(classes)]
    if empty := [str(k) for k, count in enumerate(counts) if count < 1]:
        raise UserError(
            f"With factor {factor} and {per_class} images per class, class {', '.join(empty)} would be empty; "
            f"choose a factor of at least {1 / max(per_class, 1):.2g}."
        )
    return counts


def long_tailed_indices(labels: ArrayLike, factor: float, profile: str = "exponential", seed: int = 0) -> np.ndarray:
    """Draw a long-tailed subset.

    Args:
        labels: class of every image, [N], whole numbers from 0. With classes of unequal size the smallest
            one sets the images per class.
        seed: of the drawing, apart from any training seed.

    Returns int64 positions in `labels`, concatenated by class. Raises as `class_counts`, and for a seed that is no
    whole number in [0, 2^32).
    """
    labels = np.asarray(labels)
    available = np.bincount(labels)
    counts = class_counts(int(available.min(initial=len(labels))), factor, profile, len(available))
    generator = _generator(seed)
    kept = []
    for k, count in enumerate(counts):
        positions = np.flatnonzero(labels == k)
        generator.shuffle(positions)
        kept.append(positions[:count])
    return np.concatenate(kept).astype(np.int64)


def stratified_split(labels: ArrayLike, fraction: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Hold out the same share, in (0, 1), of every class, at least one image each.

    Returns (training, validation): int64 positions in `labels`, each ascending; together all of them. Raises UserError
    for a fraction outside (0, 1), or a class with too few images to appear in both parts.
    """
    if not 0 < fraction < 1:
        raise UserError(f"The validation fraction has to lie in (0, 1), both excluded, not {fraction}.")
    labels = np.asarray(labels)
    generator = _generator(seed)
    held_out = np.zeros(len(labels), dtype=bool)
    for k in np.unique(labels):
        positions = np.flatnonzero(labels == k)
        count = max(1, round(len(positions) * fraction))
        if count >= len(positions):
            raise UserError(
                f"Class {k} has {len(positions)} image(s), too few to hold out a fraction of {fraction}; "
                "choose a smaller fraction or a larger imbalance factor."
            )
        generator.shuffle(positions)
        held_out[positions[:count]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _generator(seed: int) -> np.random.RandomState:
    # The legacy generator: the write-up's, and the only one whose numbers NumPy promises never to change.
    try:
        return np.random.RandomState(seed)
    except (ValueError, TypeError) as error:
        raise UserError(f"A seed has to be a whole number in [0, 2^32), not {seed!r}.") from error
