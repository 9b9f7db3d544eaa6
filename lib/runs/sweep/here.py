"""Runs in this process, one after the other."""

from functools import partial

from lib.runs.sweep.job import Job
from lib.runs.sweep.locks import locked
from lib.system.errors import NoRoom
from lib.training import train


def one_by_one(job: Job) -> None:
    """Train each run on all cores, or on the GPU."""
    for experiment in job.missing:
        failure = None
        with locked(job.store, experiment, job.stop) as to_train:
            if to_train:
                try:
                    outcome = train(
                        experiment,
                        on_epoch=partial(job.epoch, experiment),
                        checkpoint=job.store.checkpoint(experiment),
                        origin=job.origin,
                        stop=job.stop,
                    )
                except NoRoom:
                    raise
                except Exception as error:
                    failure = error
                else:
                    job.store.put(*outcome)  # a run that cannot be stored ends the sweep
        job.ended(experiment, failure)
