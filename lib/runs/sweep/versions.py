"""What has to be the same in a program and in the workers that train for it.

These functions are sent to the workers as their code (see `parcel`), so that one without `lib`, or with another one,
can answer too: they import nothing of `lib` at the top, and what goes wrong in them is an answer.
"""


def versions() -> dict[str, str]:
    """Name -> version of what decides a run's numbers, in this process."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        import lib
        from lib.experiment import NUMERICS_VERSION
    except ImportError:
        own = {"lib": "none", "numerics": "none"}
    else:
        own = {"lib": lib.__version__, "numerics": str(NUMERICS_VERSION)}
    try:
        torch = version("torch").partition("+")[0]  # CPU and CUDA builds of one version go together
    except PackageNotFoundError:
        torch = "none"
    return {**own, "torch": torch}


def different(theirs: dict[str, str], ours: dict[str, str]) -> str:
    """What differs, as half a sentence that names both versions; "" where nothing does."""
    found = [
        f"{name} {theirs.get(name, 'none')} where this program has {version}"
        for name, version in ours.items()
        if theirs.get(name, "none") != version
    ]
    return f"it has {', '.join(found)}; install the same there" if found else ""


def unfit(wanted: dict[str, str]) -> str:
    """Why this process cannot train for a program of these versions; "" where it can."""
    try:
        if why := different(versions(), wanted):
            return why
        import lib.runs.sweep.worker  # noqa: F401  (an installation can be broken, too)
    except Exception as error:
        return f"it cannot run this program ({type(error).__name__}: {error})"
    return ""


def work_where_fit(wanted: dict[str, str], task: bytes) -> object:
    """On a worker: what `worker.work` returns for a pickled task, or {"worker", "why"} where it is unfit."""
    import pickle

    from distributed import get_worker

    worker = get_worker()
    if getattr(worker, "fit_for", None) != wanted:  # asked once; it takes some milliseconds
        if why := too_many_threads(worker.state.nthreads) or unfit(wanted):
            return {"worker": worker.address, "why": why}
        worker.fit_for = wanted
    from lib.runs.sweep.worker import work

    return work(pickle.loads(task))


def too_many_threads(threads: int) -> str:
    """Why a worker of so many threads is refused; "" where it is not."""
    if threads == 1:
        return ""
    return f"it would train {threads} runs at a time in one process; start workers with --nthreads 1, one per core"
