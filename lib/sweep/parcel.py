"""How a run travels to a worker.

Neither a scheduler nor an unfit worker is to import `lib` in order to read it: Dask would call the run failed, or end
the worker. So the function goes as its code, and the task as bytes, which are read where the versions are right.
"""

import pickle
from functools import cache
from typing import Any

import cloudpickle

from lib.sweep import versions
from lib.sweep.worker import Task

cloudpickle.register_pickle_by_value(versions)


class _AsCode:
    """A function that is pickled as its code, though pickle itself would only name it."""

    def __call__(self, *arguments: Any) -> Any:
        return versions.work_where_fit(*arguments)

    def __reduce__(self) -> tuple:
        return cloudpickle.loads, (cloudpickle.dumps(versions.work_where_fit),)


@cache  # some milliseconds, of every run
def _ours() -> dict[str, str]:
    return versions.versions()


def parcel(task: Task) -> tuple:
    """What to submit: a function and its arguments."""
    return _AsCode(), _ours(), pickle.dumps(task)
