"""Runs in this process, one after the other."""

from lib.runs.sweep.failures import Failures
from lib.runs.sweep.parts import Sweep, claimed
from lib.system.errors import NoRoom
from lib.training import train


def one_by_one(sweep: Sweep) -> Failures:
    """Each run on all cores, or on the GPU."""
    failures: Failures = []
    for experiment in sweep.missing:
        with claimed(sweep.store, experiment) as to_train:
            if to_train:
                try:
                    outcome = train(
                        experiment,
                        on_epoch=lambda epoch, e=experiment: sweep.epoch(e, epoch),
                        checkpoint=sweep.store.checkpoint(experiment),
                        origin=sweep.origin,
                        stop=sweep.stop,
                    )
                except NoRoom:
                    raise
                except Exception as error:
                    failures.append((experiment, error))
                else:
                    sweep.store.put(*outcome)  # what cannot be stored is not worth training on
        sweep.ended(experiment)
    return failures
