"""Measurements in, tables and verdicts out: medians with the smallest and the largest value around them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.contenders import PLAIN
from lib.analysis.statistics import mean_interval
from lib.analysis.tables import percent


def ratios(frame: pd.DataFrame, name: str, base: str) -> pd.Series:
    """Speed of one contender over another's, turn by turn: both met the same moment of the machine."""
    warm = frame[frame.repeat > 0].pivot(index="repeat", columns="contender", values="images_per_second")
    return warm[name] / warm[base]


def ranged(values: pd.Series, digits: int = 0) -> str:
    """Median, and in brackets the smallest and the largest value."""
    low, middle, high = (f"{v:,.{digits}f}" for v in (values.min(), values.median(), values.max()))
    return f"{middle} [{low}, {high}]"


def comparison(frame: pd.DataFrame, accuracy: pd.DataFrame | None = None, base: str = PLAIN) -> pd.DataFrame:
    """One row per contender: speed, its ratio to `base`, cold start, accuracy after the same epochs.

    Args:
        frame: from `benchmarks.process.in_turns`.
        accuracy: from `benchmarks.process.accuracies`.
    """
    rows = {}
    for name in frame.contender.unique():
        warm = frame[(frame.contender == name) & (frame.repeat > 0)]
        cold = frame[(frame.contender == name) & (frame.repeat == 0)]
        rows[name] = {
            "images/s": ranged(warm.images_per_second),
            f"× {base}": ranged(ratios(frame, name, base), 2),
            "cold start (s)": f"{cold.seconds.item():.1f}",
        }
        if accuracy is not None:
            seen = accuracy[accuracy.contender == name].accuracy
            rows[name]["accuracy (%)"] = percent(*map(float, mean_interval(seen))) if len(seen) else "as above"
    return pd.DataFrame(rows).T.rename_axis("loop")


def shares(frames: Mapping[str, pd.DataFrame], images: Mapping[str, int]) -> pd.DataFrame:
    """Shares of an epoch (%), by model and training set.

    Args:
        frames: from `benchmarks.measure.shares`, by model.
        images: training images of an epoch, by the name of the training set.
    """
    rows = {}
    for model, frame in frames.items():
        for name, count in images.items():
            data, evaluation = epoch_shares(frame, count)
            rows[f"{model}, {name}"] = {
                "training images": f"{count:,}",
                "data path (% of training)": ranged(100 * data, 1),
                "evaluation (% of the epoch)": ranged(100 * evaluation, 1),
            }
    return pd.DataFrame(rows).T.rename_axis("model and training set")


def epoch_shares(frame: pd.DataFrame, images: int) -> tuple[pd.Series, pd.Series]:
    """(time beyond the bare steps in the training of an epoch, evaluation in the whole epoch), fractions by repeat."""
    training = frame.epoch * images
    return 1 - frame.bare / frame.epoch, frame.evaluation / (training + frame.evaluation)


def start_up(frame: pd.DataFrame) -> pd.DataFrame:
    """Seconds of every waiting time."""
    seconds = {what: ranged(group.seconds, 2) for what, group in frame.groupby("what", sort=False)}
    return pd.DataFrame({"seconds": seconds}).rename_axis("waiting for")


def memory(frame: pd.DataFrame) -> pd.DataFrame:
    """Memory of each worker in MB; `shared` is the part that it has in common with others."""
    mb = frame.set_index("worker")[["peak", "resident", "private"]] / 2**20
    mb["shared"] = mb.resident - mb.private
    return mb.round().astype(int)


def gate(accuracy: Mapping[str, pd.DataFrame]) -> str:
    """By model: the loops whose accuracy differs from the plain loop's, and the loss that the test cannot exclude."""
    said = []
    for model, frame in accuracy.items():
        values = {name: group.accuracy.to_numpy() for name, group in frame.groupby("contender", sort=False)}
        if len(values[PLAIN]) < 2:
            said.append(f"**{model}:** one seed says nothing about whether speed costs accuracy.")
            continue
        tests = {name: _difference(group, values[PLAIN]) for name, group in values.items() if name != PLAIN}
        found = [f"{n} {100 * d:+.1f} points" for n, (d, p, _) in tests.items() if p < 0.05 / len(tests)]
        lowest = min(low for _, _, low in tests.values())
        verdict = "no loop's accuracy can be told from the plain loop's"
        if found:
            verdict = f"different from the plain loop's accuracy: {'; '.join(found)}"
        said.append(
            f"**{model}:** {verdict} (Welch's t test at 5 %, Bonferroni-corrected). The 95 % intervals of the "
            f"differences reach down to {100 * lowest:+.1f} points: {len(values[PLAIN])} seeds cannot exclude that."
        )
    return "\n\n".join(said)


def _difference(group: np.ndarray, base: np.ndarray) -> tuple[float, float, float]:
    """(difference of the means, p value, lower end of its 95 % interval).

    Welch's test: the contenders draw other numbers from the same seed, so they cannot be paired.
    """
    difference = group.mean() - base.mean()
    if not (np.ptp(group) or np.ptp(base)):  # the test would divide by a spread of zero
        return difference, 0.0 if difference else 1.0, difference
    test = stats.ttest_ind(group, base, equal_var=False)
    return difference, test.pvalue, test.confidence_interval(0.95).low


def seconds_to(frame: pd.DataFrame, target: float) -> pd.Series:
    """Seconds of training, without evaluations, to the first epoch that reaches an accuracy, by seed; NaN: not reached.

    Args:
        frame: from `benchmarks.measure.reached`.
    """
    passed = (frame.images / frame.images_per_second).groupby(frame.seed).cumsum()
    return passed.where(frame.test_accuracy >= target).groupby(frame.seed).first()


def reached(frame: pd.DataFrame, target: float) -> pd.DataFrame:
    """One row per run: the time to an accuracy, and the accuracy at the end."""
    seconds = seconds_to(frame, target).map(lambda s: "not reached" if np.isnan(s) else f"{s:.0f}")
    last = frame.groupby("seed").last()
    table = {"seconds of training": seconds, "threads": last.threads, "last epoch (%)": last.test_accuracy.map(percent)}
    return pd.DataFrame(table | {"run": last.run.str[:8]}).rename_axis("seed")


def markdown(table: pd.DataFrame) -> str:
    """A table as markdown."""
    head = [table.index.name or "", *table.columns]
    rows = [[index, *row] for index, row in zip(table.index, table.to_numpy(), strict=True)]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in [head, [":---"] * len(head), *rows])
