"""The workers behind a Dask client: who is there, who is fit, who has the data.

What may take long, or for ever where a machine is frozen, happens on the client's own event loop; the sweep hears
of it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import cloudpickle
from distributed import Client

from lib import data
from lib.errors import UserError
from lib.sweep import versions
from lib.sweep.worker import Unfit, receive

#: Seconds between two looks at the cluster, for an answer of the scheduler, and for the data set on its way.
_EVERY, _ANSWER, _TRANSFER = 1.0, 5.0, 600.0

cloudpickle.register_pickle_by_value(versions)  # so that a worker without `lib` can answer too


class Workforce:
    """All methods are for the sweep's thread.

    Args:
        check: whether to ask workers for their versions.
        tell: called from another thread with the name of an event and what goes with it: "workers" with what the
            scheduler says of each address, "fitness" with {address: versions}, "refused" with (address, why),
            "delivered" with the key of a run.
        say: prints a line, once.
    """

    def __init__(self, client: Client, check: bool, tell: Callable[[str, Any], None], say: Callable[[str], None]):
        self._client, self._check, self._tell, self._say = client, check, tell, say
        self._there: set[str] = set()
        self._asked: dict[str, float] = {}  # address -> when
        self._fit: set[str] = set()
        self._unfit: dict[str, str] = {}  # address -> why
        self._served: set[str] = set()  # machines that the data set was sent to
        self._tried: set[tuple[str, str]] = set()  # runs that looked for it again, and where
        self._one_at_a_time = asyncio.Lock()
        self._over = False
        self.delivering: set[str] = set()  # keys of runs that wait for data
        self.silent_since: float | None = None  # since when the scheduler has not answered
        client.loop.add_callback(self._watch)

    def close(self) -> None:
        """Look no more."""
        self._over = True

    @property
    def workers(self) -> set[str]:
        """Addresses of those that are there, have told their versions, and are not refused."""
        return (self._there & self._fit if self._check else self._there) - self._unfit.keys()

    @property
    def silent(self) -> set[str]:
        """Addresses of those that are there and should have told their versions by now: frozen, most likely."""
        late = {address for address, when in self._asked.items() if time.monotonic() - when > _ANSWER}
        return late & self._there - self._fit - self._unfit.keys()

    @property
    def undecided(self) -> bool:
        """Whether a worker may still tell its versions: runs sent now would all go to those that were quicker."""
        return self._check and bool(self._there - self._fit - self._unfit.keys() - self.silent)

    def to_go_to(self) -> frozenset[str]:
        """The workers that a run may go to; empty for any, which lets Dask use those that come later too."""
        return frozenset() if self.workers == self._there else frozenset(self.workers)

    def seen(self, there: Mapping[str, Any]) -> None:
        """Take what the scheduler says of each address.

        Raises:
            UserError: no worker that is there is fit; the same of the other methods.
        """
        self._there = set(there)
        self._unfit = {a: why for a, why in self._unfit.items() if a in there}
        if not self._check:
            return
        for address in there.keys() - self._asked.keys():
            self._asked[address] = time.monotonic()
            self._client.loop.add_callback(self._ask, address)
        for address, worker in there.items():
            if why := versions.too_many_threads(worker["nthreads"]):
                self.refuse(address, why)

    def judge(self, answers: Mapping[str, dict[str, str]]) -> None:
        """Take the versions that workers have told."""
        for address, theirs in answers.items():
            if why := versions.different(theirs, versions.versions()):
                self.refuse(address, why)
            else:
                self._fit.add(address)

    def refuse(self, address: str, why: str) -> None:
        """Send no runs to a worker."""
        self._unfit[address] = why
        line = f"The worker at {address} is refused: {why}."
        self._say(line)
        if self._there and self._there <= self._unfit.keys():
            raise UserError(line)

    def send_data(self, address: str, name: str, key: str) -> None:
        """Send the data set where it is lacking; "delivered" follows, with `key`."""
        self.delivering.add(key)
        self._client.loop.add_callback(self._deliver, address, name, key)

    async def _watch(self) -> None:
        while not self._over:
            try:
                if self._client.status != "running":
                    raise OSError("the client is not connected")
                answer = await asyncio.wait_for(self._client.scheduler.identity(n_workers=-1), _ANSWER)
            except Exception:  # whatever it is: no answer
                self.silent_since = self.silent_since or time.monotonic()
            else:
                self.silent_since = None
                self._tell("workers", answer["workers"])
            await asyncio.sleep(_EVERY)

    async def _ask(self, address: str) -> None:
        with suppress(Exception):  # a worker that has gone; each run looks for itself as well
            answers = await self._client.run(versions.versions, workers=[address], on_error="return")
            self._tell("fitness", {a: theirs for a, theirs in answers.items() if isinstance(theirs, dict)})

    async def _deliver(self, address: str, name: str, key: str) -> None:
        """Send the data set, but not a second time to a machine before its processes have looked for it again."""
        host = urlsplit(address).hostname or address
        try:
            async with self._one_at_a_time:
                if host not in self._served or (key, address) in self._tried:
                    self._say(f"The worker at {address} has no {name}; it is sent there.")
                    content = await asyncio.to_thread(lambda: data.fetch().read_bytes())
                    sent = self._client.run(receive, content, workers=[address], on_error="return")
                    answer = (await asyncio.wait_for(sent, _TRANSFER)).get(address)
                    if isinstance(answer, Unfit):
                        self._tell("refused", (address, answer.why))
                self._served.add(host)
                self._tried.add((key, address))
        except Exception as error:  # most likely the worker has gone
            self._say(f"The data set could not be sent to {address} ({error}).")
        self._tell("delivered", key)
