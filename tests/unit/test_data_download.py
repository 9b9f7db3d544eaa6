"""The downloader and the crawl rule, against a server on this machine and a stand-in for npm."""

import errno
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lib.data.download import CrawlWatch, Patience, SourceLeft, download, npm_pack

CONTENT = bytes(range(256)) * 4000  # 1 MB
HASTY = Patience(rate=200_000, window=0.5, connect=0.5, silent_start=0.5)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def feed(watch, clock, seconds, rate, done=0):
    for _ in range(seconds):
        clock.now += 1
        done += rate
        watch(done)
    return done


def test_a_fast_source_is_never_left(clock):
    feed(CrawlWatch(200_000, 15, clock=clock), clock, 1000, 200_001)


def test_a_crawling_source_is_left_after_the_window_and_not_before(clock):
    watch = CrawlWatch(200_000, 15, clock=clock)
    done = feed(watch, clock, 14, 100_000)
    with pytest.raises(SourceLeft, match="crawls: 100 kB/s over 15 s"):
        feed(watch, clock, 1, 100_000, done)


def test_a_source_that_begins_to_crawl_is_left_too(clock):
    watch = CrawlWatch(200_000, 15, clock=clock)
    done = feed(watch, clock, 60, 1_000_000)
    done = feed(watch, clock, 12, 0, done)  # the window still holds 3 MB
    with pytest.raises(SourceLeft):
        feed(watch, clock, 1, 0, done)


def test_a_pause_shorter_than_the_window_is_forgiven(clock):
    watch = CrawlWatch(200_000, 15, clock=clock)
    done = 0
    for _ in range(10):
        done = feed(watch, clock, 10, 0, feed(watch, clock, 10, 1_000_000, done))


def test_a_silent_start_is_waited_for(clock):
    watch = CrawlWatch(200_000, 15, grace=30, clock=clock)
    feed(watch, clock, 29, 0)
    with pytest.raises(SourceLeft):
        feed(watch, clock, 1, 0)


class Server(ThreadingHTTPServer):
    daemon_threads = True

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


def test_a_whole_file_arrives_with_one_line_at_each_end(serve, tmp_path, capsys):
    def whole(handler, start):
        handler.begin()
        handler.wfile.write(CONTENT)

    download(serve(whole).url, tmp_path / "file", HASTY)
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
    download(server.url, tmp_path / "file", HASTY)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges == [0, 600_000]


def test_a_server_that_cannot_resume_is_asked_from_the_beginning(serve, tmp_path):
    def no_ranges(handler, start):
        handler.begin()
        handler.wfile.write(CONTENT if start else CONTENT[:600_000])

    download(serve(no_ranges).url, tmp_path / "file", HASTY)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_download_that_is_cut_again_and_again_is_left(serve, tmp_path):
    def always_cut(handler, start):
        handler.begin(start)
        handler.wfile.write(CONTENT[start:600_000])

    with pytest.raises(SourceLeft, match=r"cut off at 1 of 1 MB, 3 times"):
        download(serve(always_cut).url, tmp_path / "file", HASTY)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_goes_away_half_way_is_left(serve, tmp_path):
    def last_words(handler, start):
        handler.begin(start)
        handler.wfile.write(CONTENT[:600_000])
        handler.server.socket.close()

    with pytest.raises(SourceLeft, match="cannot be reached"):
        download(serve(last_words).url, tmp_path / "file", HASTY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pause", [0.02, 30], ids=["trickle", "silence"])
def test_a_crawling_server_is_left(serve, tmp_path, pause):
    def crawl(handler, start):
        handler.begin(start)
        for _ in range(2000):
            handler.wfile.write(b"x" * 100)
            handler.wfile.flush()
            time.sleep(pause)

    started = time.monotonic()
    with pytest.raises(SourceLeft, match="crawls"):
        download(serve(crawl).url, tmp_path / "file", HASTY)
    assert time.monotonic() - started < 15  # not the 30 s of the silence, nor the 40 of the trickle
    assert list(tmp_path.iterdir()) == []


def test_an_error_page_is_left(serve, tmp_path):
    server = serve(lambda handler, start: handler.send_error(503))
    with pytest.raises(SourceLeft, match="answers 503"):
        download(server.url, tmp_path / "file", HASTY)
    assert list(tmp_path.iterdir()) == []


def test_a_closed_door_is_left(serve, tmp_path):
    server = serve(None)
    server.shutdown()
    server.server_close()
    with pytest.raises(SourceLeft, match=r"127\.0\.0\.1:\d+ cannot be reached"):
        download(server.url, tmp_path / "file", HASTY)


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """A stand-in for npm: a shell script that sees $DESTINATION and $CACHE."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def install(script):
        cases = "--pack-destination=*) DESTINATION=${a#*=};; --cache=*) CACHE=${a#*=};;"
        parse = f'for a in "$@"; do case $a in {cases} esac; done; mkdir -p $CACHE'
        (folder / "npm").write_text(f"#!/bin/sh\n{parse}\n{script}\n")
        (folder / "npm").chmod(0o755)

    return install


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_npm_brings_the_tarball_and_its_cache_goes(npm, work):
    npm("head -c 5000 /dev/zero > $CACHE/part; sleep 0.3; head -c 5000 /dev/zero > $DESTINATION/a-1.0.0.tgz")
    assert npm_pack("a@1.0.0", 5000, work, HASTY).read_bytes() == bytes(5000)
    assert sorted(path.name for path in work.iterdir()) == ["a-1.0.0.tgz", "npm.log"]


def test_npm_that_is_missing_is_said(work, monkeypatch):
    monkeypatch.setenv("PATH", str(work))
    with pytest.raises(SourceLeft, match="npm is not installed"):
        npm_pack("a@1.0.0", 5000, work, HASTY)


def test_npm_that_cannot_reach_its_registry_gives_its_reason(npm, work):
    npm("echo 'npm error code ENOTFOUND' >&2; echo 'npm error network request failed' >&2; exit 1")
    with pytest.raises(SourceLeft, match="npm stopped: ENOTFOUND: network request failed"):
        npm_pack("a@1.0.0", 5000, work, HASTY)


def test_npm_without_space_is_a_full_disk(npm, work):
    npm("echo 'npm error code ENOSPC' >&2; exit 228")
    with pytest.raises(OSError, match="space") as caught:
        npm_pack("a@1.0.0", 5000, work, HASTY)
    assert caught.value.errno == errno.ENOSPC


def test_npm_that_crawls_is_ended_with_its_children(npm, work):
    npm("sleep 60 & echo $! > $DESTINATION/child; wait")
    started = time.monotonic()
    with pytest.raises(SourceLeft, match="crawls"):
        npm_pack("a@1.0.0", 5000, work, HASTY)
    assert time.monotonic() - started < 30  # not the 60 s of the sleep
    child = int((work / "child").read_text())
    time.sleep(0.1)
    assert not is_running(child)


def is_running(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_npm_that_leaves_nothing_is_said(npm, work):
    npm("exit 0")
    with pytest.raises(SourceLeft, match="left no file"):
        npm_pack("a@1.0.0", 5000, work, HASTY)
