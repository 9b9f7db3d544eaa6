"""A sweep's runs with everything that goes with them."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lib.experiment import Experiment
from lib.runs.progress import Progress
from lib.runs.store import Store
from lib.system.errors import UserError
from lib.training import Epoch

OnEpoch = Callable[[Experiment, Epoch], None]


class RunsFailed(UserError):
    """Some runs of a sweep failed; the others are stored. `reasons` names each with its reason."""

    def __init__(self, failures: Sequence[tuple[Experiment, BaseException]], runs: int):
        self.reasons = [(experiment, reason(error)) for experiment, error in failures]
        lines = "\n".join(f"  {experiment.title}: {why}" for experiment, why in self.reasons)
        super().__init__(f"{len(failures)} of {runs} runs failed; the others are stored.\n{lines}")


def reason(error: BaseException) -> str:
    """The reason of a failure, in one sentence."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


@dataclass
class Job:
    """The runs to train."""

    missing: Sequence[Experiment]
    store: Store
    origin: str
    on_epoch: OnEpoch | None
    progress: Progress | None
    stop: Callable[[], bool]
    failures: list[tuple[Experiment, BaseException]] = field(default_factory=list)

    def epoch(self, experiment: Experiment, epoch: Epoch) -> None:
        """Show a finished epoch."""
        try:
            if self.progress:
                self.progress(experiment, epoch)
            if self.on_epoch:
                self.on_epoch(experiment, epoch)
        except Exception as error:  # a display that fails must not stop the training
            print(f"The progress of {experiment.title} could not be shown: {error}", file=sys.stderr)

    def ended(self, experiment: Experiment, error: BaseException | None = None) -> None:
        """Note that a run is over, trained or not."""
        if error:
            self.failures.append((experiment, error))
        if self.progress:
            self.progress.ended(experiment)
