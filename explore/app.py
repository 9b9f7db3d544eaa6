"""Serve a notebook as a page without code, to the person who started it alone: `make app`.

The page trains runs and writes files. Voila by itself answers everybody who reaches its port: other users of the
machine, and web pages that point their own name at it (DNS rebinding).
"""

import os
import tempfile
import threading
import webbrowser
from pathlib import Path

from voila.app import Voila


class App(Voila):
    """Voila with the token of the printed URL, for requests that call this machine by a name of its own."""

    def initialize(self, argv: list[str] | None = None) -> None:
        """Read the command line, and give every page the cookie that it sends back to stop its kernel when closed."""
        super().initialize(argv)
        self.voila_configuration.prelaunch_hook = lambda handler, **_: handler.xsrf_token and None

    def init_handlers(self) -> list:
        """Register all routes for these hosts only: any other one gets 404."""
        self.app.add_handlers(r"(localhost|127\.0\.0\.1|\[::1\])$", super().init_handlers())
        return []

    def launch_browser(self) -> None:
        """Open the page by way of a file: a command line with the token could be read by other users."""
        with tempfile.NamedTemporaryFile("w", suffix=".html", delete=False, encoding="utf-8") as file:
            file.write(f'<meta http-equiv="refresh" content="0; url={self.display_url}">')
        threading.Thread(target=webbrowser.open, args=(Path(file.name).as_uri(),), daemon=True).start()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as own:  # the start-up files of a person's IPython are not meant for the page
        os.environ["IPYTHONDIR"] = own
        App.launch_instance(auto_token=True)
