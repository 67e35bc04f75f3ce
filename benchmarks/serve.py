"""The local page's sliders and explanations over HTTP. Claim: a slider answers within 50 ms, at rest and at work.

Faster R-CNN with a ResNet-50 pyramid (random weights, with lively statistics), a photo of 480 × 640. The sliders'
answers are measured while nothing else runs, and while the worker computes RISE maps. Then explanations of single
boxes against a forward pass, and forty uploads at once.
"""

import io
import socket
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import uvicorn
from PIL import Image

from faster_rcnn import photo, torchvisions
from pellucid.models.detectors import from_foreign
from pellucid.models.region.foreign import translated
from pellucid.web import create_app

from common import setup

MOVES, UPLOADS = 100, 40


def served() -> tuple[str, uvicorn.Server]:
    """The address of a server in a thread of its own, and the server."""
    theirs: Any = torchvisions().eval()
    model: Any = from_foreign(translated(theirs.state_dict(), "torchvision"), "torchvision")
    model.choices = replace(model.choices, score_threshold=0.0)
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(model), log_level="warning"))
    threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    return f"http://127.0.0.1:{listening.getsockname()[1]}", server


def file() -> bytes:
    """The photo as a PNG."""
    buffer = io.BytesIO()
    pixels = (photo(2) * 255).byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def told(title: str, seconds: list[float]) -> None:
    """A line: median, 95th percentile and longest, in milliseconds."""
    ordered = sorted(1000 * s for s in seconds)
    late = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    print(f"  {title:<44} median {statistics.median(ordered):7.1f} ms   95 % {late:7.1f}   longest {ordered[-1]:7.1f}")


def times(count: int, ask: Callable[[int], httpx.Response]) -> list[float]:
    """Seconds of each of some requests, one after another."""
    seconds = []
    for number in range(count):
        began = time.perf_counter()
        ask(number).raise_for_status()
        seconds.append(time.perf_counter() - began)
    return seconds


def main() -> None:
    setup()
    address, server = served()
    data = file()
    with httpx.Client(base_url=address, timeout=300) as client:

        def upload(number: int = 0) -> httpx.Response:
            headers = {"X-Client": f"client {number % 10}"}
            return client.post("/api/photos", files={"photo": ("photo.png", data)}, headers=headers)

        said = upload().json()
        id, passes = said["id"], [upload().json()["seconds"] for _ in range(3)]
        print(
            f"\nFaster R-CNN R50-FPN, 480 × 640, {len(said['objects'])} boxes; a forward pass takes {min(passes):.2f} s"
        )

        def slide(number: int) -> httpx.Response:
            thresholds = {"score": number / MOVES, "overlap": 0.2 + 0.6 * (number % 10) / 10}
            return client.get(f"/api/photos/{id}/objects", params=thresholds)

        def explain(method: str, number: int) -> httpx.Response:
            target = {"kind": "object", "number": number % len(said["objects"]), "part": "score"}
            return client.post(f"/api/photos/{id}/explanations", json={"target": target, "method": method})

        told("slider, nothing else running", times(MOVES, slide))
        work = threading.Thread(target=lambda: explain("rise", 0), daemon=True)
        work.start()
        time.sleep(0.5)
        told("slider, while RISE is computed", times(MOVES, slide))
        work.join()
        for method in ("odam", "grad_cam", "saliency"):
            told(f"explanation of a box, {method}", times(5, partial(explain, method)))
        began = time.perf_counter()
        with ThreadPoolExecutor(UPLOADS) as pool:
            codes = [answer.status_code for answer in pool.map(upload, range(UPLOADS))]
        counts = {code: codes.count(code) for code in sorted(set(codes))}
        print(f"  {UPLOADS} uploads at once: {counts}, {time.perf_counter() - began:.1f} s")
    server.should_exit = True


if __name__ == "__main__":
    main()
