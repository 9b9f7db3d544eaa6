"""Downloads with a progress display, resumption, and a lower limit on speed."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple
from urllib.parse import urlsplit


class SourceFailed(Exception):
    """A source gave no data; the message is the reason, as half a sentence."""


class Patience(NamedTuple):
    """Limits on waiting for a source."""

    rate: float = 200_000  # least bytes per second ...
    window: float = 15.0  # ... on average over so many seconds


HURRIED = Patience()
#: For a source that was asked for by name: slow is accepted, silence is not.
PATIENT = Patience(rate=1, window=60.0)


def say(line: str) -> None:
    """Print a line about the data set for the person at the terminal; stdout belongs to results."""
    print(f"CIFAR-10: {line}", file=sys.stderr, flush=True)


@contextmanager
def transfer(host: str, size: int, patience: Patience, first: int = 1) -> Iterator[Callable[[int], None]]:
    """Show a transfer: a line at its start and its end, and on a terminal a progress bar between them.

    Yields a function to call with the number of bytes so far, about once per second or more often. It raises
    SourceFailed when too few arrived in one of the windows that follow one another, the first of which is `first`
    times as long.
    """
    from tqdm import tqdm

    say(f"downloading {size / 1e6:.0f} MB from {host}")
    started = monotonic()
    since, before = started + (first - 1) * patience.window, 0  # the present window
    with tqdm(total=size, unit="B", unit_scale=True, leave=False, disable=None) as bar:  # None: on a terminal alone

        def arrived(done: int) -> None:
            nonlocal since, before
            bar.update(done - bar.n)
            if (seconds := monotonic() - since) >= patience.window:
                if (rate := (done - before) / seconds) < patience.rate:
                    raise SourceFailed(f"too slow: {rate / 1000:.0f} kB/s over {seconds:.0f} s")
                since, before = since + seconds, done

        yield arrived
    say(f"downloaded in {monotonic() - started:.0f} s")


def download(url: str, target: Path, size: int, patience: Patience = HURRIED) -> None:
    """Stream `url` into `target`, and resume when the connection is cut; `size` is for the display.

    Raises SourceFailed where it is unreachable, refused, too slow, or cut off again and again.
    """
    host = urlsplit(url).netloc
    done = cuts = 0
    with target.open("wb") as file, transfer(host, size, patience) as arrived:
        while True:
            with _open(url, host, done, patience.window) as response:
                if response.status != 206:  # the first request, or a server that cannot resume
                    file.seek(0)
                    file.truncate()
                    done = 0
                before = done
                total = before + int(response.headers.get("Content-Length", 0))
                # read1 returns what has arrived, not a full block, so that a trickle is noticed as too slow.
                with suppress(TimeoutError, ConnectionError, HTTPException):
                    while block := response.read1(1 << 18):
                        file.write(block)
                        done += len(block)
                        arrived(done)
            if done >= total:  # also where the server does not tell how much there is
                return
            cuts = 0 if done > before else cuts + 1
            if cuts == 3:
                raise SourceFailed(f"cut off at {done / 1e6:.0f} of {total / 1e6:.0f} MB, {cuts} times in a row")
            arrived(done)


def _open(url: str, host: str, start: int, timeout: float) -> HTTPResponse:
    headers = {"User-Agent": "longtail-writeup"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        raise SourceFailed(f"{host} answers {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise SourceFailed(f"{host} unreachable: {getattr(error, 'reason', error)}") from error


def npm_pack(package: str, size: int, folder: Path, patience: Patience = HURRIED) -> Path:
    """Run `npm pack name@version` in `folder`, displayed and limited as a download; return the tarball.

    Raises SourceFailed where npm is missing, too slow or fails (with its reason), and OSError (ENOSPC) where npm runs
    out of space.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise SourceFailed("npm is not installed")
    # A cache of its own: its size shows how much npm has received.
    cache, log = folder / "npm-cache", folder / "npm.log"
    # npm's own defaults would retry an unreachable registry for minutes.
    options = "--fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=2000 --no-progress"
    options += " --no-audit --no-fund --no-update-notifier --ignore-scripts"
    command = [npm, "pack", package, f"--pack-destination={folder}", f"--cache={cache}", *options.split()]
    # npm asks for the package's description before it downloads.
    with transfer("the npm registry", size, patience, first=2) as arrived, log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            while process.poll() is None:
                # When everything has arrived npm still unpacks and checks, without a limit of time.
                with suppress(FileNotFoundError):  # npm moves files
                    done = sum(file.stat().st_size for file in cache.rglob("*"))
                    if done < 0.99 * size:
                        arrived(done)
                sleep(0.1)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # with npm's children, which share its session
                process.wait()
    shutil.rmtree(cache, ignore_errors=True)
    tarball = next(folder.glob("*.tgz"), None)
    if process.returncode or not tarball:
        text = log.read_text(errors="replace")
        if "ENOSPC" in text:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        said = re.findall(r"^npm (?:error|ERR!) (?!errno|syscall|A complete log)(?:code )?(.+)$", text, re.MULTILINE)
        raise SourceFailed(f"npm failed: {': '.join(said[:2])[:200] or 'no reason given'}")
    return tarball
