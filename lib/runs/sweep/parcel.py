"""How a run travels to a worker.

Neither a scheduler nor an unfit worker is to import `lib` in order to read it: Dask would stand still while it loads
torch, call the run failed, or end the worker. So functions go as their code, and a task as bytes, which are read where
the versions are right.
"""

import pickle
import types
from collections.abc import Callable
from functools import cache
from typing import Any

import cloudpickle

from lib.runs.sweep import versions
from lib.runs.sweep.worker import Task

cloudpickle.register_pickle_by_value(versions)


class _AsCode:
    """A function of `versions` that is pickled as its code.

    Its copy says that it is of no module that can be imported: else the scheduler, which pickles it once more, would
    first try its name.
    """

    def __init__(self, function: Callable):
        self._function = types.FunctionType(function.__code__, function.__globals__, function.__name__)
        self._function.__module__ = "__main__"
        self._code = cloudpickle.dumps(self._function)

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __reduce__(self) -> tuple:
        return cloudpickle.loads, (self._code,)


_work_where_fit = _AsCode(versions.work_where_fit)


@cache  # some milliseconds, of every run
def wanted() -> dict[str, str]:
    """The versions that a worker has to have."""
    return versions.versions()


def parcel(task: Task) -> tuple:
    """What to submit: a function and its arguments."""
    return _work_where_fit, wanted(), pickle.dumps(task)
