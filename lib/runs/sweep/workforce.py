"""The workers behind a Dask client: who is there, who is fit, who has the data.

What may take long, or for ever where a machine is frozen, happens on the client's own event loop; the sweep hears
of it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from distributed import Client, Future

from lib import data
from lib.runs.sweep import versions
from lib.runs.sweep.parcel import wanted
from lib.runs.sweep.worker import receive
from lib.system.errors import UserError

#: Seconds between two looks at the cluster.
_LOOK = 1.0
#: Seconds in which a scheduler, or a worker that is asked for its versions, is expected to answer.
_ANSWER = 5.0
#: Seconds that the data set may be on its way to a worker.
_TRANSFER = 600.0
#: Times that it is sent to one worker.
_TIMES = 3


@dataclass
class _Worker:
    since: float  # when it was first seen
    fit: bool  # it has said that it can run this program
    refused: str = ""  # why it gets no runs
    asked: bool = False
    paused: bool = False

    @property
    def undecided(self) -> bool:
        return not self.fit and not self.refused

    @property
    def late(self) -> bool:
        return time.monotonic() - self.since > _ANSWER


class Workforce:
    """All methods are for the sweep's thread.

    Args:
        check: whether to ask workers for their versions.
        tell: called from another thread with the name of an event and what goes with it: "workers" with what the
            scheduler says of each address, "fitness" with {address: why it is unfit, or the error in its place},
            "refused" with (address, why), "delivered" with the key of a run, "came" with (key, future, what came).
        say: prints a line, once.
    """

    def __init__(self, client: Client, check: bool, tell: Callable[[str, Any], None], say: Callable[[str], None]):
        self._client, self._check, self._tell, self._say = client, check, tell, say
        self._known: dict[str, _Worker] = {}  # by address
        self._verdicts: dict[str, str] = {}  # why workers are refused that the scheduler has not named yet
        self._served: set[str] = set()  # machines that the data set was sent to
        self._tried: set[tuple[str, str]] = set()  # runs that looked for it again, and where
        self._sent: Counter[str] = Counter()  # times that it was sent, by address
        self._nothing_to_send = ""  # why this program has no data set itself
        self._one_at_a_time = asyncio.Lock()
        self._over = False
        self.has_looked = False  # whether the scheduler has said who is there
        self.delivering: set[str] = set()  # keys of runs that wait for data
        self.silent_since: float | None = None  # since when the scheduler has not answered
        client.loop.add_callback(self._watch)

    def close(self) -> None:
        """Look no more."""
        self._over = True

    @property
    def there(self) -> set[str]:
        """Addresses of all workers, fit or not."""
        return set(self._known)

    @property
    def fit(self) -> set[str]:
        """Addresses of those that runs may go to: they have told their versions, and are not refused."""
        return {address for address, worker in self._known.items() if worker.fit and not worker.refused}

    @property
    def workers(self) -> set[str]:
        """Addresses of those that take new runs now: Dask pauses a worker that is short of memory."""
        return {address for address in self.fit if not self._known[address].paused}

    @property
    def paused(self) -> set[str]:
        """Addresses of those that Dask has paused: what waits there would wait on."""
        return {address for address, worker in self._known.items() if worker.paused}

    @property
    def undecided(self) -> bool:
        """Whether a worker may still tell its versions: runs sent now would all go to those that were quicker."""
        return any(worker.undecided and not worker.late for worker in self._known.values())

    def to_go_to(self) -> frozenset[str] | None:
        """The workers that a run may go to; None for any, which lets Dask use those that come later too."""
        good = frozenset(self.workers or self.fit)
        return None if good == self.there else good

    def seen(self, there: Mapping[str, Any]) -> None:
        """Take what the scheduler says of each address.

        Raises:
            UserError: no worker that is there is fit; the same of the other methods.
        """
        self.has_looked = True
        self._known = {address: worker for address, worker in self._known.items() if address in there}
        for address, told in there.items():
            if address not in self._known:
                refused = self._verdicts.pop(address, "")
                self._known[address] = _Worker(time.monotonic(), fit=not self._check, refused=refused)
            worker = self._known[address]
            worker.paused = told["status"] == "paused"
            if worker.undecided and not worker.asked:
                worker.asked = True
                self._client.loop.add_callback(self._ask, address)
        for address, told in there.items():
            worker = self._known[address]
            if worker.paused:
                self._say(
                    f"Dask has paused the worker at {address}, which is short of memory; give it more, or start it "
                    "with DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE=False."
                )
            if worker.undecided and worker.late:
                self._say(f"The worker at {address} does not answer yet; runs go there when it does.")
            if self._check and not worker.refused and (why := versions.too_many_threads(told["nthreads"])):
                self.refuse(address, why)
        self._is_anybody_left()

    def gone(self, address: str) -> None:
        """A worker has left; what comes back at its address is another one."""
        self._known.pop(address, None)
        self._verdicts.pop(address, None)

    def judge(self, answers: Mapping[str, str | Exception]) -> None:
        """Take why workers are unfit, "" for fit ones, or what came in place of an answer."""
        for address, why in answers.items():
            worker = self._known.get(address)
            if worker is None:
                continue
            if isinstance(why, OSError):  # the connection's; the next look asks again
                worker.asked = False
            elif isinstance(why, Exception):  # another Python, most likely
                self.refuse(address, f"it cannot be asked for its versions ({type(why).__name__}: {why})")
            elif why:
                self.refuse(address, why)
            else:
                worker.fit = True

    def refuse(self, address: str, why: str) -> None:
        """Send no runs to a worker."""
        self._say(_refusal(address, why))
        if address in self._known:
            self._known[address].refused = why
            self._is_anybody_left()
        else:  # it is quicker than the scheduler's next answer, which shows who else is there
            self._verdicts[address] = why

    def _is_anybody_left(self) -> None:
        refused = {address: worker.refused for address, worker in self._known.items() if worker.refused}
        if self._known and len(refused) == len(self._known):
            raise UserError(_refusal(*refused.popitem()))

    def send_data(self, address: str, name: str, key: str) -> None:
        """Send the data set where it is lacking; "delivered" follows, with `key`."""
        self.delivering.add(key)
        self._client.loop.add_callback(self._deliver, address, name, key)

    def fetch(self, key: str, future: Future) -> None:
        """Get what a run has come to; "came" follows, from a machine that is frozen when Dask has given it up."""
        self._client.loop.add_callback(self._fetch, key, future)

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
            await asyncio.sleep(_LOOK)

    async def _ask(self, address: str) -> None:
        try:
            answers = await self._client.run(versions.unfit, wanted(), workers=[address], on_error="return")
        except Exception as error:
            answers = {address: error}
        self._tell("fitness", answers)

    async def _fetch(self, key: str, future: Future) -> None:
        try:
            outcome = await self._client.gather(future, asynchronous=True)
        except Exception as error:
            outcome = error
        self._tell("came", (key, future, outcome))

    async def _deliver(self, address: str, name: str, key: str) -> None:
        """Send the data set, but not a second time to a machine before its processes have looked for it again."""
        host = urlsplit(address).hostname or address
        try:
            async with self._one_at_a_time:
                lacking = host not in self._served or (key, address) in self._tried
                if lacking and (why := await self._send(address, name)):
                    self._tell("refused", (address, why))
                self._served.add(host)
                self._tried.add((key, address))
        except Exception as error:  # most likely the worker has gone
            self._say(f"The data set could not be sent to {address} ({str(error) or type(error).__name__}).")
        self._tell("delivered", key)

    async def _send(self, address: str, name: str) -> str:
        """Why the worker can't be served; "" where it was."""
        if self._sent[address] == _TIMES:
            return f"it has been sent {name} {_TIMES} times and finds none"
        try:
            if self._nothing_to_send:
                raise UserError(self._nothing_to_send)
            content = await asyncio.to_thread(lambda: data.fetch().read_bytes())
        except UserError as error:
            self._nothing_to_send = str(error)
            return f"it has no {name}, and this program has none to send ({error})"
        self._say(f"The worker at {address} has no {name}; it is sent there.")
        self._sent[address] += 1
        sent = self._client.run(receive, content, workers=[address], on_error="return")
        answer = (await asyncio.wait_for(sent, _TRANSFER)).get(address)
        if isinstance(answer, OSError):
            raise answer
        if isinstance(answer, Exception):
            return f"it could not keep {name} ({type(answer).__name__}: {answer})"
        return answer or ""  # nothing where the worker has gone


def _refusal(address: str, why: str) -> str:
    return f"The worker at {address} is refused: {why}."
