"""Reading an uploaded photo: counted while it comes, kept in memory, never on disk."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from pellucid.web.limits import AnswerError, Limits, busy, size_text
from pellucid.web.photos import harmless_name
from pellucid.web.queue import ClientGoneError

_ENVELOPE = 64 * 1024
"""How many bytes a form may hold beside its photo."""

_WANTED = "send the photo as a form (multipart/form-data) with one file, called 'photo'"
_UNREADABLE = "the form cannot be read: it was cut short, or the file's name is too long; rename it and drop it again"

_PATIENCE = 10.0
"""For how many seconds the rest of a refused upload is read, so that the browser gets to read the refusal."""


class Room:
    """The bytes of all uploads that are being read or wait, bounded."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    def take(self, count: int) -> None:
        """Raises AnswerError where there is no room."""
        if self.taken + count > self.limit:
            raise busy(f"{size_text(self.limit)} of photos wait already")
        self.taken += count

    def give_back(self, count: int) -> None:
        """What was taken."""
        self.taken -= count


class _InMemory(MultiPartParser):
    """The usual parser of forms, but that a file stays in memory however large it is."""

    spool_max_size = 2**62


class _Body:
    """The body of a request as it comes, counted into a room. ``release``: gives its bytes back, once."""

    def __init__(self, request: Request, room: Room, limits: Limits) -> None:
        self.request = request
        self.room = room
        self.limits = limits
        self.taken = 0
        self.more = True

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Raises AnswerError where it is too much, ClientGoneError where it ends too early."""
        while self.more:
            message = await self.request.receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            chunk, self.more = message.get("body", b""), message.get("more_body", False)
            self.room.take(len(chunk))
            self.taken += len(chunk)
            if self.taken > self.limits.bytes + _ENVELOPE:
                raise _too_large(self.limits)
            yield chunk

    def release(self) -> None:
        self.room.give_back(self.taken)
        self.taken = 0

    async def drain(self) -> None:
        """Reads on to the end and keeps nothing, since a browser that still sends does not listen."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while self.more:
                    message = await self.request.receive()
                    self.more = message.get("more_body", False)


@dataclass
class Upload:
    """A photo's bytes, and its file's own name, made harmless; ``release`` when they are no longer needed."""

    name: str
    data: bytes
    release: Callable[[], None]


async def read_upload(request: Request, room: Room, limits: Limits) -> Upload:
    """The photo of a form with one file, called 'photo'.

    Raises AnswerError for one that is too large, for a form without it, and where too many wait; ClientGoneError.
    """
    body = _Body(request, room, limits)
    try:
        name, data = await _photo_of(request, body, limits)
    except AnswerError:
        body.release()
        await body.drain()
        raise
    except BaseException:
        body.release()
        raise
    return Upload(name, data, body.release)


async def _photo_of(request: Request, body: _Body, limits: Limits) -> tuple[str, bytes]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise AnswerError(400, _WANTED)
    try:
        form = await _InMemory(request.headers, body.chunks(), max_files=1, max_fields=4).parse()
    except (MultiPartException, ValueError, KeyError, LookupError) as error:
        raise AnswerError(400, _UNREADABLE) from error
    photo = form.get("photo")
    if not isinstance(photo, UploadFile):
        raise AnswerError(400, _WANTED)
    name, data = harmless_name(photo.filename), await photo.read()
    await form.close()
    if len(data) > limits.bytes:
        raise _too_large(limits)
    return name, data


def _too_large(limits: Limits) -> AnswerError:
    return AnswerError(413, f"the photo is larger than {size_text(limits.bytes)}; reduce it first")
