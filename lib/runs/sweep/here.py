"""Runs in this process, one after the other, each on all cores or on the GPU."""

from functools import partial

from lib.runs.sweep.job import STOPPED, Job
from lib.system.errors import NoRoom
from lib.training import Interrupted, train


def one_by_one(job: Job) -> None:
    """Train and store the missing runs of a job.

    Raises:
        NoRoom: a run, or its state, could not be stored.
        Interrupted: on Ctrl-C or the job's `stop`.
    """
    for experiment in job.missing:
        while (lock := job.lock(experiment, timeout=0.2)) is None:  # another program trains it
            if job.stop():
                raise Interrupted(STOPPED)
        failure = None
        try:
            if job.store.get(experiment) is None:
                show, checkpoint = partial(job.epoch, experiment), job.store.checkpoint(experiment)
                job.store.put(
                    *train(experiment, on_epoch=show, checkpoint=checkpoint, origin=job.origin, stop=job.stop)
                )
        except NoRoom:  # the next runs could not be stored either
            raise
        except Exception as error:
            failure = error
        finally:
            lock.release()
        job.over(experiment, lock, failure)
