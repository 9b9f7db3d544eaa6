"""Betas that give the same class weights, and are therefore one treatment."""

from collections.abc import Sequence

from lib.losses import class_balanced_weights


def neutral_betas(counts: Sequence[int], betas: Sequence[float]) -> list[float]:
    """Betas whose class weights are all exactly 1 in float32: they are one and the same computation.

    For the long-tailed CIFAR-10 with 50 images in its rarest class that is every beta up to about 0.7: what
    beta^n takes from the weights is below single precision.
    """
    return [beta for beta in betas if bool((class_balanced_weights(counts, beta) == 1).all())]


def beta_groups(counts: Sequence[int], betas: Sequence[float], tolerance: float = 1e-3) -> list[list[float]]:
    """Ascending betas, grouped where their class weights agree: no run could tell them apart.

    Args:
        tolerance: largest relative difference of any class's weight to that of the group's first beta.
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
