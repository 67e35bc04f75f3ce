"""``pellucid serve`` as a process: its address, a port that is taken, Ctrl-C."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from pellucid.cli.serve import HOST, run
from pellucid.errors import PellucidError

START = (
    "from pellucid.cli.serve import run; "
    "run(model='tf_efficientnet_lite0', checkpoint=None, classes=None, device='cpu', port=0, open_browser=False)"
)


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_it_serves_until_ctrl_c() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", START], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        told = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", told)
        assert found is not None
        with urllib.request.urlopen(f"{found[0]}/api/health", timeout=20) as answer:
            assert b'"ok"' in answer.read()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, "")


def test_a_port_that_is_taken() -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PellucidError, match=rf"port {port}: .*--port \d+"):
            run(model="nix", checkpoint=None, classes=None, device="cpu", port=port, open_browser=False)


def test_a_port_that_does_not_exist() -> None:
    with pytest.raises(PellucidError, match="--port"):
        run(model="nix", checkpoint=None, classes=None, device="cpu", port=70_000, open_browser=False)
