"""Data sets that reach the workers: from their own caches, from the client, verified either way."""

import hashlib
from contextlib import ExitStack

import pytest
from conftest import small
from dask_processes import scheduler, worker
from test_data_cifar10 import BATCHES, MINIATURE, SUMS

from lib import data
from lib.data import cifar10
from lib.runs import sweep
from lib.system.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread", "two_cores_and_no_gpu")


#: Lets a worker, and this process, take the miniature for CIFAR-10.
PRELOAD = """
from lib.data import cifar10
from test_data_cifar10 import MINIATURE
vars(cifar10).update(MINIATURE)
"""


def test_data_that_workers_lack_come_from_the_client(store, tmp_path, monkeypatch, capsys):
    """Four workers, of which one has the data set, one a damaged copy, and one a cache that can't be written."""
    for name, value in MINIATURE.items():
        monkeypatch.setattr(cifar10, name, value)
    monkeypatch.setenv("WRITEUP_CACHE", str(tmp_path / "mine"))
    whole = BATCHES.tobytes()
    for n, content in enumerate([whole, whole[:-1] + b"x", None, None]):
        folder = tmp_path / f"cache{n}"
        folder.mkdir()
        if content:
            (folder / "cifar10.bin").write_bytes(content)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "cifar10.bin").write_bytes(whole)
    (tmp_path / "file").write_text("where a folder should be")
    (tmp_path / "preload.py").write_text(PRELOAD)
    caches = [tmp_path / "cache0", tmp_path / "cache1", tmp_path / "cache2", tmp_path / "file" / "cache3"]
    runs = [small(data="cifar10", epochs=1, batch_size=4, seed=seed) for seed in range(16)]
    with scheduler(tmp_path / "s") as (_, address), ExitStack() as stack:
        for n, cache in enumerate(caches):
            nowhere = {"WRITEUP_CACHE": cache, "HOME": tmp_path / "home", "PATH": "/nowhere"}
            options = ("--preload", str(tmp_path / "preload.py"))
            stack.enter_context(worker(tmp_path / f"w{n}", address, *options, **nowhere))
        records = sweep.run(runs, store=store, scheduler=address, on_epoch=lambda *_: None)
    assert len(records) == 16
    assert {r.data_digest for r in records} == {hashlib.sha256("".join(SUMS).encode()).hexdigest()}
    said = capsys.readouterr().err
    assert said.count("has no cifar10; it is sent there.") == 3
    assert said.count("gets no runs: it has no cifar10 and cannot keep it") == 1
    assert (tmp_path / "cache1" / "cifar10.bin").read_bytes() == whole
    assert (tmp_path / "cache2" / "cifar10.bin").read_bytes() == whole


def test_data_that_nobody_has_are_said(store, tmp_path, monkeypatch):
    monkeypatch.setenv("WRITEUP_CACHE", str(tmp_path / "mine"))
    asked = []

    def fetch(*_):
        asked.append(1)
        raise UserError("There is no network.")

    monkeypatch.setattr(data, "fetch", fetch)
    nowhere = {"WRITEUP_CACHE": tmp_path / "theirs", "HOME": tmp_path, "TMPDIR": tmp_path, "PATH": "/nowhere"}
    with (
        scheduler(tmp_path / "s") as (_, address),
        worker(tmp_path / "w", address, **nowhere),
        pytest.raises(UserError, match=r"it has no cifar10 and cannot keep it \(There is no network"),
    ):
        sweep.run([small(data="cifar10")], store=store, scheduler=address, on_epoch=lambda *_: None)
    assert len(asked) == 1


def test_what_arrives_damaged_is_not_kept(tmp_path, monkeypatch):
    for name, value in MINIATURE.items():
        monkeypatch.setattr(cifar10, name, value)
    monkeypatch.setenv("WRITEUP_CACHE", str(tmp_path))
    whole = BATCHES.tobytes()
    for damaged in (whole[:-1] + b"x", whole[:-7], b""):
        with pytest.raises(UserError, match="the copy that was sent"):
            data.install(damaged)
        assert not cifar10.cache_path().exists()
    data.install(whole)
    assert cifar10.cache_path().read_bytes() == whole
