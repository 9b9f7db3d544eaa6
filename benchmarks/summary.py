"""Measurements in, data frames and sentences out: medians with what was seen around them."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.contenders import FLOAT32, MEANING, PLAIN
from lib.analysis.statistics import mean_interval
from lib.analysis.tables import percent
from lib.training import Record


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


def meanings() -> pd.DataFrame:
    """What each contender is."""
    return pd.DataFrame({"what": MEANING}).rename_axis("loop")


def shares(frames: Mapping[str, pd.DataFrame], images: Mapping[str, int]) -> pd.DataFrame:
    """Shares of an epoch (%), by model and training set.

    Args:
        frames: from `benchmarks.shares.shares`, by model.
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
    """(what an epoch takes beyond its bare steps, evaluation beside training), fractions by repeat."""
    training = frame.epoch * images
    return 1 - frame.bare / frame.epoch, frame.evaluation / (training + frame.evaluation)


def start_up(frame: pd.DataFrame) -> pd.DataFrame:
    """Seconds by what is waited for."""
    seconds = {what: ranged(group.seconds, 2) for what, group in frame.groupby("what", sort=False)}
    return pd.DataFrame({"seconds": seconds}).rename_axis("what is waited for")


def memory(frame: pd.DataFrame) -> pd.DataFrame:
    """Memory of each worker in MB; `shared` is what it has in common with others."""
    mb = frame.set_index("worker")[["peak", "resident", "private"]] / 2**20
    mb["shared"] = mb.resident - mb.private
    return mb.round().astype(int)


def conditions(machine: Mapping[str, str | int], precision: str) -> pd.DataFrame:
    """The machine and the versions, as a table."""
    facts = dict(machine) | {name: version(name) for name in ("torchvision", "pytorch-lightning")}
    facts |= {"precision": precision, "layout": "channels-last, where a row has it"}
    return pd.DataFrame({"value": facts}).rename_axis("what")


def gate(accuracy: Mapping[str, pd.DataFrame]) -> str:
    """Whether any contender's accuracy lies apart from the plain loop's, and how much could hide, by model."""
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
            verdict = f"apart from the plain loop's accuracy: {'; '.join(found)}"
        said.append(
            f"**{model}:** {verdict} (Welch's t test at 5 %, Bonferroni-corrected). The 95 % intervals of the "
            f"differences reach down to {100 * lowest:+.1f} points: what {len(values[PLAIN])} seeds cannot exclude."
        )
    return "\n\n".join(said)


def _difference(group: np.ndarray, base: np.ndarray) -> tuple[float, float, float]:
    """(difference of the means, p value, lower end of its 95 % interval).

    Welch's test: the contenders draw other numbers from the same seed, so they cannot be paired.
    """
    difference = group.mean() - base.mean()
    if not (np.ptp(group) or np.ptp(base)):  # no spread at all, which the test divides by
        return difference, 0.0 if difference else 1.0, difference
    test = stats.ttest_ind(group, base, equal_var=False)
    return difference, test.pvalue, test.confidence_interval(0.95).low


def seconds_to(record: Record, target: float) -> float | None:
    """Seconds of training, evaluations apart, to the end of the first epoch that reaches an accuracy; or None."""
    passed = 0.0
    for epoch in record.history:
        passed += sum(record.counts) / epoch.images_per_second
        if epoch.test.accuracy >= target:
            return passed
    return None


def reached(records: Sequence[Record], target: float) -> pd.DataFrame:
    """One row per run: when it reached an accuracy, and where it ended."""
    rows = {}
    for record in records:
        seconds = seconds_to(record, target)
        rows[record.experiment.seed] = {
            "seconds of training": "not reached" if seconds is None else f"{seconds:.0f}",
            "threads": record.machine["threads"],
            "last epoch (%)": percent(record.last.test.accuracy),
            "run": record.key[:8],
        }
    return pd.DataFrame(rows).T.rename_axis("seed")


def reached_in_words(records: Sequence[Record], target: float, speed: pd.DataFrame, epochs: int) -> str:
    """How many runs reached it, when, and what the write-up's epochs take here.

    Args:
        speed: of the ConvNet's contenders, for the write-up's float32 epochs.
        epochs: how many the write-up trains.
    """
    images = epochs * sum(records[0].counts)
    times = [seconds_to(record, target) for record in records]
    there = sorted(seconds for seconds in times if seconds is not None)
    said = f"{len(there)} of {len(records)} runs reach {target:.1%}"
    if len(there) == len(records):
        said += f", after {np.median(there):.0f} s of training (median; {there[0]:.0f} to {there[-1]:.0f} s)"
    rate = speed[(speed.contender == FLOAT32) & (speed.repeat > 0)].images_per_second.median()
    return (
        f"{said}. The write-up's {epochs} epochs (batch 32, float32) would take {images / rate:,.0f} s of training "
        "here, extrapolated from the speed measured above."
    )
