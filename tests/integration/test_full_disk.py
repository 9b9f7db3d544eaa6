"""Disks that are full, or fill up in the middle: one sentence that names WRITEUP_OUTPUTS, and no work in vain."""

import errno
import os
import subprocess
from contextlib import contextmanager

import pytest
from conftest import tiny

from lib.runs import sweep
from lib.runs.store import Store
from lib.system import files, paths
from lib.system.errors import NoRoom, UserError, run_command_line
from longtail_writeup.report import runner


@contextmanager
def mounted(folder, megabytes):
    folder.mkdir()
    disk = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(disk, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_sweep_tries_the_disk_before_the_first_epoch(tmp_path):
    with mounted(tmp_path / "small", 2) as folder:
        seen = []
        with pytest.raises(NoRoom, match=r"No space left on device\. .*set WRITEUP_OUTPUTS"):
            sweep.run([tiny()], store=Store(folder / "runs"), on_epoch=lambda _, epoch: seen.append(epoch))
        assert seen == []
        assert not [path for path in folder.rglob("*") if path.is_file()]


def test_a_report_tries_the_disk_before_data_are_fetched_and_kernels_started(tmp_path, monkeypatch):
    with mounted(tmp_path / "small", 2) as folder:
        monkeypatch.setattr(paths, "OUTPUTS", folder)
        monkeypatch.setattr(paths, "RUNS", folder / "runs")
        monkeypatch.setattr(runner.data, "load", lambda _: pytest.fail("fetched"))
        with pytest.raises(NoRoom, match=r"written to .*smoke: No space left on device\. .*set WRITEUP_OUTPUTS"):
            runner.report("smoke")


def test_a_disk_that_is_only_read_is_named_and_not_the_trial_of_it(tmp_path):
    with mounted(tmp_path / "disk", 2) as folder:
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with pytest.raises(
            NoRoom, match=rf"cannot be written to {folder}(/published|/runs|/smoke)?: Read-only file system\."
        ):
            files.try_writing(folder)


def test_a_trial_leaves_nothing(tmp_path):
    files.try_writing(tmp_path / "new" / "folder", tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_while_a_notebook_is_saved_ends_the_report(tmp_path, monkeypatch, code):
    def save(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(runner, "_execute", save)
    with pytest.raises(NoRoom, match=rf"convnet\.ipynb could not be saved: .*{os.strerror(code)}.*WRITEUP_OUTPUTS"):
        runner.execute(paths.NOTEBOOKS / "convnet.ipynb", {}, tmp_path / "convnet.ipynb", "[1/6] convnet")


def test_another_users_executed_notebook_is_replaced_and_not_written_into(tmp_path, monkeypatch):
    output = tmp_path / "convnet.ipynb"
    output.write_text("{}")
    found = []
    monkeypatch.setattr(runner, "_execute", lambda *_: found.append(output.exists()))
    runner.execute(paths.NOTEBOOKS / "convnet.ipynb", {}, output, "[1/6] convnet")
    assert found == [False]


@pytest.mark.parametrize(("code", "named"), [(errno.ENOSPC, True), (errno.EROFS, True), (errno.EISDIR, False)])
def test_what_a_command_cannot_write_is_a_sentence_with_the_remedy(code, named):
    def command():
        raise OSError(code, os.strerror(code), "/outputs/report.html")

    with pytest.raises(SystemExit) as ended:
        run_command_line(command)
    assert str(ended.value).startswith(f"{os.strerror(code)}: /outputs/report.html")
    assert ("set WRITEUP_OUTPUTS" in str(ended.value)) is named


def test_every_loss_for_lack_of_room_names_the_remedy_once():
    assert str(NoRoom("Run 1 could not be stored.")).count("WRITEUP_OUTPUTS") == 1
    assert isinstance(NoRoom(), UserError)
