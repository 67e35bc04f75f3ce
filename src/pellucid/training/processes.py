"""The processes that train together: one, or as many as ``torchrun`` started."""

import logging
import os
import warnings
from typing import Any

import torch
from lightning_fabric import Fabric

from pellucid.errors import PellucidError

_PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def make_fabric(device: str = "auto", precision: str = "32") -> Fabric:
    """The processes of a training, connected: gloo between processors, NCCL between GPUs.

    ``device``: auto, cpu, cuda, cuda:1, mps. ``precision``: 32, bf16 or 16. Raises PellucidError for a device that is
    not there.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning_fabric")
    kind, _, number = device.partition(":")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdecimal()):
        raise PellucidError(f"--device {device}: give auto, cpu, cuda, cuda:1 or mps")
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if there <= int(number or 0) and kind != "cpu":
        raise PellucidError(f"--device {device}: not available here; use cpu, or auto")
    options: dict[str, Any] = {"accelerator": kind, "precision": _PRECISIONS[precision]}
    if together():
        if number:
            raise PellucidError(f"--device {device}: torchrun deals out the devices; give cuda or cpu")
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        nodes = max(1, int(os.environ["WORLD_SIZE"]) // local)
        options |= {"strategy": "ddp", "devices": local, "num_nodes": nodes}
        if kind == "cuda" and local > there:
            raise PellucidError(f"torchrun: {local} processes for {there} GPUs here; give --nproc-per-node {there}")
    else:
        options["devices"] = [int(number)] if number and kind == "cuda" else 1
    try:
        fabric = Fabric(**options)
        fabric.launch()
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise PellucidError(f"--device {device}, precision {precision}: cannot be used here ({reason})") from error
    return fabric


def together() -> bool:
    """Whether this process is one of several that torchrun started."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ and "MASTER_ADDR" in os.environ


def rank() -> int:
    """The number of this process, 0 where there is one."""
    return int(os.environ.get("RANK", "0")) if together() else 0
