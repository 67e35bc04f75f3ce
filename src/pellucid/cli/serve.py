"""``pellucid serve``: a model, its objects and their explanations in the browser, on this machine alone."""

import os
import signal
import socket
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn

from pellucid.cli.common import load_any
from pellucid.errors import PellucidError
from pellucid.web import create_app
from pellucid.web.queue import FairQueue

HOST = "127.0.0.1"
PORT = 8321


def run(
    *, model: str, checkpoint: Path | None, classes: Path | None, device: str, port: int, open_browser: bool
) -> None:
    """Serves until Ctrl-C. Raises PellucidError where the port is taken, before the model is loaded."""
    with _bound(port) as listening:
        network = load_any(model, checkpoint, classes, device)
        app = create_app(network)
        address = f"http://{HOST}:{listening.getsockname()[1]}"
        print(f"{network.name}: {address}  (Ctrl-C ends)", flush=True)
        if open_browser:
            webbrowser.open(address)
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
        _Server(config, app.state.queue).run(sockets=[listening])
    if app.state.queue.running:
        # A pass through the network that is under way cannot be broken off, and nobody waits for it. It writes nothing
        # to disk, so the process may end here.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


class _Server(uvicorn.Server):
    """Ends at the first Ctrl-C, without a traceback, and tells those who wait."""

    def __init__(self, config: uvicorn.Config, queue: FairQueue) -> None:
        super().__init__(config)
        self.queue = queue

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: object) -> None:
        self.should_exit = True
        self.queue.close()


@contextmanager
def _bound(port: int) -> Iterator[socket.socket]:
    # by its number, since asyncio turns off the waiting of small packets (40 ms) for sockets that say they are of TCP
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
            listening.listen(2048)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            other = port + 1 if port < 65535 else PORT
            raise PellucidError(f"port {port}: cannot be used ({reason}); choose another: --port {other}") from error
        with suppress(OSError):
            listening.set_inheritable(False)
        yield listening
