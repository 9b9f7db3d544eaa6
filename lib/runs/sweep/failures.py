"""Runs that ended without a record, and why, in words."""

from collections.abc import Sequence

from lib.experiment import Experiment
from lib.system.errors import UserError

Failures = list[tuple[Experiment, BaseException]]


class RunsFailed(UserError):
    """Some runs of a sweep failed; the others are stored."""

    def __init__(self, failures: Sequence[tuple[Experiment, BaseException]], runs: int):
        self.reasons = [(experiment, reason(error)) for experiment, error in failures]
        lines = "\n".join(f"  {experiment.title}: {why}" for experiment, why in self.reasons)
        super().__init__(f"{len(failures)} of {runs} runs failed; the others are stored.\n{lines}")


def reason(error: BaseException) -> str:
    """Why a run failed, in one sentence."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
