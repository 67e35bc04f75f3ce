"""Finding published weights: on this machine first, then by download, and never a long wait without a network."""

import logging
import os
import queue
import threading
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError

from pellucid.errors import PellucidError

PROBE_SECONDS = 4.0
"""How long a server may take to answer at all before it counts as out of reach."""

_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_OPEN_CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps other libraries' warnings and log lines off stderr; what matters in them comes as our own errors."""
    loggers = [logging.getLogger(name) for name in ("timm", "huggingface_hub", "torchvision")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def reachable(url: str, seconds: float = PROBE_SECONDS) -> bool:
    """Whether the server of a URL answers at all within so many seconds; the environment's proxies are used."""
    answers: queue.Queue[bool] = queue.Queue()

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "pellucid"})
            urllib.request.urlopen(request, timeout=seconds).close()
        except urllib.error.HTTPError:
            answers.put(True)  # a refusal is an answer
        except Exception:  # whatever a network can do wrong
            answers.put(False)
        else:
            answers.put(True)

    # looking up a name has no time limit of its own, so the wait has
    threading.Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        return False


def timm_weights(name: str, config: Any) -> tuple[Path, bool]:
    """The file of a timm network's weights, and whether the network reads it by its own loader (original .npz files).

    ``config``: timm's ``PretrainedCfg``. Downloads the file where no cache has it. Raises PellucidError where it has
    none, and where it is neither on this machine nor to be had.
    """
    if config.hf_hub_id:
        repository, _, revision = config.hf_hub_id.partition("@")
        files = _hub_files(config)
        for file in files:
            cached = try_to_load_from_cache(repository, file, revision=revision or None)
            if isinstance(cached, str):
                return Path(cached), False
        if constants.HF_HUB_OFFLINE:
            raise _absent(name, "HF_HUB_OFFLINE forbids to download them", "unset it")
        _require(name, constants.ENDPOINT)
        return _downloaded(name, repository, files, revision or None), False
    if not config.url:
        raise PellucidError(
            f"{name}: no weights are published for it; use pretrained=False, "
            "or give your own with --checkpoint (checkpoint=)"
        )
    return hub_file(name, config.url), bool(config.custom_load)


def hub_file(name: str, url: str) -> Path:
    """The file of a URL in torch.hub's cache, downloaded where it is not there yet; raises PellucidError as above."""
    path = cached_url(url)
    if not path.is_file():
        _require(name, url)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            hash_prefix = torch.hub.HASH_REGEX.search(path.name)
            torch.hub.download_url_to_file(url, str(path), hash_prefix[1] if hash_prefix else None, progress=False)
        except (OSError, RuntimeError) as error:
            raise _failed(name, url, error) from error
    return path


def cached_url(url: str) -> Path:
    """Where torch.hub keeps, or would keep, the file of a URL."""
    return Path(torch.hub.get_dir(), "checkpoints", os.path.basename(urllib.parse.urlparse(url).path))


def cached_repositories() -> set[str]:
    """The Hugging Face repositories ('timm/resnet50.a1_in1k') of which a weights file is on this machine."""
    found = set()
    for folder in Path(constants.HF_HUB_CACHE).glob("models--*"):
        weights = (p for s in (".safetensors", ".bin") for p in folder.glob(f"snapshots/*/*{s}"))
        if any(p.exists() for p in weights):  # a link whose blob is gone does not exist
            found.add(folder.name.removeprefix("models--").replace("--", "/"))
    return found


def _hub_files(config: Any) -> tuple[str, ...]:
    """The names under which timm looks for weights in a repository, best first."""
    file = config.hf_hub_filename
    if not file or file in _HUB_FILES:
        return _HUB_FILES
    if file in _OPEN_CLIP_FILES:
        return _OPEN_CLIP_FILES
    return (file.removesuffix(".bin") + ".safetensors", file) if file.endswith(".bin") else (file,)


def _downloaded(name: str, repository: str, files: tuple[str, ...], revision: str | None) -> Path:
    for file in files:
        try:
            return Path(hf_hub_download(repository, file, revision=revision, library_name="pellucid"))
        except EntryNotFoundError:
            continue
        # whatever else the hub's client raises (it changes its HTTP library) is a failed download
        except Exception as error:
            raise _failed(name, f"{constants.ENDPOINT}/{repository}", error) from error
    raise PellucidError(
        f"{name}: {repository} holds none of {', '.join(files)}; give your own weights with --checkpoint (checkpoint=)"
    )


def _require(name: str, url: str) -> None:
    if not reachable(url):
        host = urllib.parse.urlparse(url).netloc or url
        raise _absent(name, f"{host} can't be reached", "connect once to download them")


def _absent(name: str, why: str, remedy: str) -> PellucidError:
    return PellucidError(
        f"{name}: its weights are not on this machine and {why}; {remedy}, "
        "give your own with --checkpoint (checkpoint=), or use the embedded tf_efficientnet_lite0"
    )


def _failed(name: str, source: str, error: Exception) -> PellucidError:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return PellucidError(
        f"{name}: its weights could not be downloaded from {source} ({reason}); try again, "
        "or give your own with --checkpoint (checkpoint=)"
    )
