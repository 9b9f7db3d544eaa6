"""Downloads with a progress display, resumption, and a lower limit on speed."""

import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from time import monotonic
from typing import NamedTuple
from urllib.parse import urlsplit

from tqdm import tqdm


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


def download(url: str, target: Path, size: int, patience: Patience) -> None:
    """Stream `url` into `target`, at most `size` bytes, and resume when the connection is cut.

    Prints a line at each end, and on a terminal a progress bar between them. Raises SourceFailed where the server is
    unreachable, refuses, cuts off again and again, or is too slow in one of the windows that follow one another.
    """
    host = urlsplit(url).netloc
    say(f"downloading {size / 1e6:.0f} MB from {host}")
    started = since = monotonic()
    before = 0  # bytes at the start of the present window
    with tqdm(total=size, unit="B", unit_scale=True, leave=False, disable=None) as bar:  # None: on a terminal alone
        for done in _stream(url, host, target, patience.window):
            bar.update(done - bar.n)
            if done > size:
                raise SourceFailed(f"{host} sends more than {size / 1e6:.0f} MB")
            if (seconds := monotonic() - since) >= patience.window:
                if (rate := (done - before) / seconds) < patience.rate:
                    raise SourceFailed(f"too slow: {rate / 1000:.0f} kB/s over {seconds:.0f} s")
                since, before = since + seconds, done
    say(f"downloaded in {monotonic() - started:.0f} s")


def _stream(url: str, host: str, target: Path, timeout: float) -> Iterator[int]:
    """Write what arrives into `target`; yield the number of bytes so far after each block and each cut."""
    done = cuts = 0
    while True:
        before = done
        headers = {"User-Agent": "longtail-writeup"} | ({"Range": f"bytes={done}-"} if done else {})
        try:
            response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
        except urllib.error.HTTPError as error:
            raise SourceFailed(f"{host} answers {error.code} {error.reason}") from error
        except (OSError, HTTPException) as error:
            raise SourceFailed(f"{host} unreachable: {getattr(error, 'reason', error)}") from error
        # Another status than 206: the first request, or a server that cannot resume.
        with response, target.open("ab" if response.status == 206 else "wb") as file:
            done = file.tell()
            total = done + int(response.headers.get("Content-Length", 0))
            # read1 returns what has arrived, not a full block, so that a trickle is noticed as too slow.
            with suppress(TimeoutError, ConnectionError, HTTPException):
                while block := response.read1(1 << 18):
                    file.write(block)
                    done += len(block)
                    yield done
        if done >= total:  # also where the server does not tell how much there is
            return
        cuts = 0 if done > before else cuts + 1
        if cuts == 3:
            raise SourceFailed(f"cut off at {done / 1e6:.0f} of {total / 1e6:.0f} MB, {cuts} times in a row")
        yield done
