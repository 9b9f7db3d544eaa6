"""Names of runs beyond their title."""

from lib.experiment import Experiment
from lib.losses import LOSSES


def details(experiment: Experiment) -> str:
    """Settings that the title leaves out: batch, rate, schedule, and every departure from the write-up."""
    parts = [f"batch {experiment.batch_size}", f"rate {experiment.learning_rate:g}"]
    if experiment.schedule == "one_cycle":
        parts.append("one-cycle")
    elif experiment.steps != (6, 8):
        parts.append(f"steps {', '.join(map(str, experiment.steps)) or 'none'}")
    if LOSSES[experiment.loss].has_gamma:
        parts.append(f"γ {experiment.gamma:g}")
    if experiment.normalisation != "count":
        parts.append(f"divided by {experiment.normalisation}")
    if experiment.imbalance != "none" and experiment.subset_seed:
        parts.append(f"draw {experiment.subset_seed}")
    if experiment.validation:
        parts.append(f"{100 * experiment.validation:g} % held out")
    if not experiment.augmentation:
        parts.append("no augmentation")
    parts += ["bfloat16"] if experiment.precision == "bfloat16" else []
    return ", ".join(parts)
