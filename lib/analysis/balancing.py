"""Betas of the effective number by the class weights that they give: many are one and the same treatment."""

from collections.abc import Mapping, Sequence

from lib.analysis import statistics as stats
from lib.losses import class_balanced_weights


def weight_ratio(counts: Sequence[int], beta: float) -> float:
    """Return the largest class weight over the smallest."""
    weights = class_balanced_weights(counts, beta)
    return float(weights.max() / weights.min())


def neutral_betas(counts: Sequence[int], betas: Sequence[float]) -> list[float]:
    """Betas whose class weights are all exactly 1 in float32, one computation: to about 0.7 for 50 images and more."""
    return [beta for beta in betas if bool((class_balanced_weights(counts, beta) == 1).all())]


def weightings(counts: Sequence[int], betas: Sequence[float]) -> dict[str, list[float]]:
    """Group ascending betas whose weights are exactly equal, under a name as "0 … 0.7"; most stand alone."""
    same = neutral_betas(counts, betas)
    groups = ([same] if same else []) + [[beta] for beta in betas if beta not in same]
    return {f"{g[0]:g}" if len(g) == 1 else f"{g[0]:g} … {g[-1]:g}": g for g in groups}


def beta_groups(counts: Sequence[int], betas: Sequence[float]) -> list[list[float]]:
    """Ascending betas, grouped where weights are the first one's to a thousandth: no run could tell them apart."""
    found: list[list[float]] = []
    for beta in sorted(betas):
        weights = class_balanced_weights(counts, beta)
        if found and ((weights / class_balanced_weights(counts, found[-1][0]) - 1).abs() <= 1e-3).all():
            found[-1].append(beta)
        else:
            found.append([beta])
    return found


def treatments(
    by_beta: Mapping[float, stats.Runs], counts: Sequence[int], prefer: float | None = None
) -> dict[tuple[float, ...], stats.Runs]:
    """Group betas as `beta_groups`, each with the runs of one of its betas: most seeds, then `prefer`, then first."""
    groups = [tuple(group) for group in beta_groups(counts, list(by_beta))]
    return {group: by_beta[max(group, key=lambda beta: (len(by_beta[beta]), beta == prefer))] for group in groups}
