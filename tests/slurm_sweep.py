"""The recipe of docs/clusters.md, "SLURM", on a real SLURM: the smoke sweep, with two jobs as its workers.

Usage: python tests/slurm_sweep.py FOLDER, which the jobs write their logs to.
"""

import shlex
import subprocess
import sys
from pathlib import Path

from dask_jobqueue import SLURMCluster

from lib.runs.store import Store
from lib.system import paths


def main(logs: str) -> None:
    options = {"cores": 1, "processes": 1, "memory": "2GB", "walltime": "00:10:00", "log_directory": logs}
    with SLURMCluster(python=shlex.quote(sys.executable), **options) as cluster:  # jobqueue does not quote it
        cluster.scale(jobs=2)
        notebook = paths.NOTEBOOKS / "beta_sweep.ipynb"
        command = [str(Path(sys.executable).parent / "papermill"), notebook, paths.OUTPUTS / "beta_sweep.ipynb"]
        command += ["-f", paths.PARAMS / "smoke" / "beta_sweep.yaml", "-p", "scheduler", cluster.scheduler_address]
        paths.OUTPUTS.mkdir(parents=True)
        subprocess.run(list(map(str, command)), check=True, cwd=logs)
        queue = subprocess.run(["squeue", "--noheader", "--format=%T"], capture_output=True, text=True, check=True)
    assert queue.stdout.split() == ["RUNNING"] * 2, queue.stdout
    records = Store(paths.RUNS).records()
    assert records, "no run was stored"
    print(f"SLURM trained {len(records)} runs with two jobs as workers")


if __name__ == "__main__":
    main(sys.argv[1])
