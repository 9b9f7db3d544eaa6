"""Every record that the repository keeps stays valid: it loads under its key, and today's code computes that key."""

import shutil

import pytest

from lib.experiment import Experiment
from lib.runs.store import Store
from lib.system import paths

FOLDERS = sorted(paths.PUBLISHED.glob("*/runs/*"))


def test_there_are_records_to_check():
    assert {folder.parent.parent.name for folder in FOLDERS} >= {"quick", "writeup"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.parent.name}-{folder.name}")
def test_a_kept_record_loads_under_its_key(folder, tmp_path):
    shutil.copytree(folder, tmp_path / folder.name)  # a store renames what it cannot read
    (record,) = Store(tmp_path).records()
    assert record.key == folder.name
    assert Experiment.make(**record.experiment.model_dump(mode="json")).key == folder.name
    assert Store(tmp_path).get(record.experiment) == record
