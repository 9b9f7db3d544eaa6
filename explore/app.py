"""Serve a notebook as a page without code: `make app`, to the person who started it alone, or with HOST to a class.

The page trains runs and stores them. Voila by itself answers everybody who reaches its port: other users of the
machine, and web pages that point their own name at it (DNS rebinding).
"""

import os
import socket
import sys
import tempfile
import threading
import time
import webbrowser
from pathlib import Path
from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from traitlets import Int
from voila.app import Voila
from voila.request_info_handler import RequestInfoSocketHandler
from voila.tornado.handler import TornadoVoilaHandler

LOCAL = ("localhost", "127.0.0.1", "::1")


def address() -> str:
    """Return this machine's address in its network, or its name where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
            return probe.getsockname()[0]
        except OSError:
            return socket.gethostname()


class Kernels(AsyncMappingKernelManager):
    """Kernels that end when nobody looks at their page, also while they train, and that only widgets talk to."""

    cull_interval = Int(5, config=True, help="Seconds between two looks at the kernels.")
    cull_idle_timeout = Int(60, config=True, help="Seconds that a kernel waits for a page that is reloaded or cut off.")
    load_timeout = Int(600, config=True, help="Seconds that a kernel waits for its page's first connection.")

    def __init__(self, **options: Any):
        super().__init__(**options)
        # Voila's own list has the request to end a kernel; a page asks the server for that.
        self.allowed_message_types = ["comm_open", "comm_msg", "comm_close", "comm_info_request", "kernel_info_request"]

    async def cull_kernel_if_idle(self, kernel_id: str) -> None:
        """End a kernel that has no page, or whose page never connects; Jupyter's own rule spares one that is active."""
        model, now = self.kernel_model(kernel_id), time.monotonic()
        kernel = self.get_kernel(kernel_id)
        if model["connections"]:
            kernel.patience = self.cull_idle_timeout
        if model["connections"] or model["execution_state"] == "busy" or not hasattr(kernel, "seen"):
            kernel.seen = now  # busy: its page is being made
        elif now - kernel.seen > getattr(kernel, "patience", self.load_timeout):  # a busy machine loads slowly
            await self.shutdown_kernel(kernel_id)


class Page(TornadoVoilaHandler):
    """A page with the cookie that it sends back to stop its kernel when it is closed."""

    async def get(self, path: str | None = None) -> None:
        """Answer with the page."""
        self.xsrf_token  # noqa: B018  sets the cookie
        await super().get(path)


class App(Voila):
    """Voila with the token of the printed URL, for requests that call this machine by a name of its own."""

    def initialize(self, argv: list[str] | None = None) -> None:
        """Read the command line."""
        super().initialize(argv)
        self.voila_configuration.multi_kernel_manager_class = Kernels
        # Threads that wait for each other while others have the cores can be thirty times slower than one thread.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        if self.ip not in LOCAL:
            os.environ.setdefault("OMP_NUM_THREADS", "1")
            print(
                "Everybody with the URL below can train runs here under your account, and whoever listens in on the "
                "network can read it: it is not encrypted. Use it in a network that you trust.",
                flush=True,
            )

    @property
    def display_url(self) -> str:
        """The page's URL; for a class with an address in place of a name that other machines may not know."""
        return super().display_url.replace(f"//{socket.gethostname()}:", f"//{address()}:")

    def init_handlers(self) -> list:
        """Register all routes, for the hosts of this machine only if nobody else is meant: any other one gets 404."""
        made = super().init_handlers()
        made = [route for route in made if route[1] is not RequestInfoSocketHandler]  # it asks for no token
        routes = [(path, Page if kind is TornadoVoilaHandler else kind, *rest) for path, kind, *rest in made]
        self.app.add_handlers(r"(localhost|127\.0\.0\.1|\[::1\])$" if self.ip in LOCAL else ".*", routes)
        return []

    def launch_browser(self) -> None:
        """Open the page by way of a file: a command line with the token could be read by other users."""
        with tempfile.NamedTemporaryFile("w", suffix=".html", delete=False, encoding="utf-8") as file:
            file.write(f'<meta http-equiv="refresh" content="0; url={self.display_url}">')
        threading.Thread(target=webbrowser.open, args=(Path(file.name).as_uri(),), daemon=True).start()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as own:  # the start-up files of a person's IPython are not meant for the page
        os.environ |= {"IPYTHONDIR": own, "WRITEUP_APP": "1"}  # explore/tryout.py
        template = str(Path(__file__).parent / "jupyter")
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [template, os.environ.get("JUPYTER_PATH")]))
        # A page made ahead, for the next visitor: its first paint takes seconds instead of tens of them.
        preheated = ["--template=app", "--preheat_kernel=True", "--pool_size=1", "--VoilaKernelManager.fill_delay=5"]
        App.launch_instance([*preheated, *sys.argv[1:]], auto_token=True)
