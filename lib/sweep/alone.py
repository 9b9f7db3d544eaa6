"""Runs in this process: one after the other, or fused into one model."""

from contextlib import ExitStack

from lib.errors import NoRoom
from lib.sweep.failures import Failures
from lib.sweep.parts import Sweep, claimed
from lib.training import Diverged, train
from lib.training.replicas import groups, train_together


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
                    )
                except NoRoom:
                    raise
                except Exception as error:
                    failures.append((experiment, error))
                else:
                    sweep.store.put(*outcome)  # what cannot be stored is not worth training on
        sweep.ended(experiment)
    return failures


def fused(sweep: Sweep, most: int) -> Failures:
    """Up to `most` runs at a time as one model."""
    failures: Failures = []
    for group in groups(sweep.missing, most):
        with ExitStack() as claims:
            # In one order, or two programs wait for each other.
            wanted = {e.key: claims.enter_context(claimed(sweep.store, e)) for e in sorted(group, key=lambda e: e.key)}
            group = [e for e in group if wanted[e.key]]
            try:
                outcomes = train_together(group, on_epoch=sweep.epoch, origin=sweep.origin)
            except Exception as error:
                failures += [(e, error) for e in group]
            else:
                for outcome in outcomes:
                    if not isinstance(outcome, Diverged):
                        sweep.store.put(*outcome)
                failures += [(e, o) for e, o in zip(group, outcomes, strict=True) if isinstance(o, Diverged)]
        for experiment in group:
            sweep.ended(experiment)
    return failures
