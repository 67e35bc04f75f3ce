"""The server's addresses: what the page asks, answered by one model."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Header, Query, Request
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from pellucid.errors import PellucidError
from pellucid.models import PhotoModel
from pellucid.structures.photo import opened_bytes
from pellucid.web import messages
from pellucid.web.choosing import chosen_model, objects_json, outlines_json, reported, thresholds_of
from pellucid.web.explaining import checked, explained, model_json
from pellucid.web.guards import Guards
from pellucid.web.limits import AnswerError, Limits
from pellucid.web.messages import REFUSALS, Share
from pellucid.web.methods import asked_method, method_json, methods_of
from pellucid.web.photos import PhotoStore
from pellucid.web.queue import ClientGoneError, FairQueue, Job
from pellucid.web.reading import photo_json, seen
from pellucid.web.targets import parts_of
from pellucid.web.units import Units
from pellucid.web.uploads import Room, read_upload

STATIC = Path(__file__).parent / "static"
_UPLOADS = "/api/photos"

T = TypeVar("T")
Token = Annotated[str, InPath(max_length=64)]
Layer = Annotated[str, InPath(max_length=200)]
Channel = Annotated[int, InPath(ge=0, le=1_000_000)]
Coordinate = Annotated[float, Query(ge=-1e6, le=1e6, allow_inf_nan=False)]
Client = Annotated[str | None, Header(max_length=64)]
Score = Annotated[Share | None, Query()]

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["photo"],
                    "properties": {"photo": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}
_PNG: dict[str, Any] = {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
_JPEG: dict[str, Any] = {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}


def create_app(model: PhotoModel, limits: Limits = Limits()) -> FastAPI:  # noqa: B008
    """The web application that answers questions about photos by one model. It owns the model: puts it in eval mode.

    ``limits``: what it takes at most. ``app.state.queue`` is the queue of its work, to be closed at the end.
    """
    served = _Served(model, limits)
    # no pages of documentation: theirs load scripts from elsewhere
    app = FastAPI(title="Pellucid", docs_url=None, redoc_url=None, responses=REFUSALS)
    app.state.queue = served.queue
    app.add_middleware(Guards, uploads=_UPLOADS)
    _add_refusals(app)
    _add_photos(app, served)
    _add_explanations(app, served)
    _add_units(app, served)

    @app.get("/api/model")
    def the_model() -> messages.Model:
        return messages.Model.model_validate(served.about)

    @app.get("/api/health")
    def health() -> messages.Health:
        return messages.Health(status="ok", waiting=served.queue.waiting, photos=len(served.store))

    @app.get("/", include_in_schema=False)
    def page() -> Response:
        return FileResponse(STATIC / "index.html")

    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False), name="static")
    return app


class _Served:
    """What all addresses share."""

    def __init__(self, model: PhotoModel, limits: Limits) -> None:
        self.model = model.eval()
        self.limits = limits
        self.store = PhotoStore(limits)
        self.queue = FairQueue(limits.waiting)
        self.room = Room(limits.waiting_bytes)
        self.units = Units(model)
        self.methods = methods_of(model)
        about = model_json(model, [method_json(model, method) for method in self.methods], parts_of(model))
        self.about = {**about, "limits": {"bytes": limits.bytes, "pixels": limits.pixels}}

    async def compute(self, request: Request, client: str | None, function: Callable[[Job[T]], T]) -> T:
        """What a function returns that runs the network, when it is its client's turn."""
        asker = client or (request.client.host if request.client is not None else "")
        return await self.queue.run(asker, function, request.is_disconnected)


def _add_photos(app: FastAPI, served: _Served) -> None:
    model, store = served.model, served.store

    @app.post(_UPLOADS, openapi_extra=_FORM)
    async def upload(request: Request, x_client: Client = None) -> messages.Photo:
        sent = await read_upload(request, served.room, served.limits)
        try:
            # what is no photo, or too large a one, is refused by its header at once
            await run_in_threadpool(_check_header, sent.data, sent.name, served.limits.pixels)

            def see(job: Job[dict[str, Any]]) -> dict[str, Any]:
                photo = seen(model, sent.data, sent.name, served.limits.pixels, job.go_on)
                store.add(photo)
                return {**photo_json(model, photo), "waited": round(job.waited, 3)}

            answer = await served.compute(request, x_client, see)
        finally:
            sent.release()
        return messages.Photo.model_validate(answer)

    @app.get("/api/photos/{id}/picture", response_class=Response, responses={200: _JPEG})
    def picture(id: Token) -> Response:
        return Response(store.get(id).picture, media_type="image/jpeg")

    @app.get("/api/photos/{id}/objects")
    def objects(id: Token, score: Score = None, overlap: Score = None) -> messages.Objects:
        began = time.perf_counter()
        photo, wanted = store.get(id), _given(score, overlap)
        said = reported(model, photo, wanted, parts=False)
        found = objects_json(model, said)
        return messages.Objects(
            objects=[messages.Object.model_validate(one) for one in found],
            thresholds=thresholds_of(chosen_model(model, wanted)),
            milliseconds=round(1000 * (time.perf_counter() - began), 2),
        )

    @app.get("/api/photos/{id}/outlines")
    async def outlines(
        request: Request, id: Token, score: Score = None, overlap: Score = None, x_client: Client = None
    ) -> messages.Outlines:
        photo, wanted = store.get(id), _given(score, overlap)
        found = await served.compute(
            request, x_client, lambda job: outlines_json(reported(model, photo, wanted, parts=True))
        )
        return messages.Outlines.model_validate(found)

    @app.delete("/api/photos/{id}")
    def forget(id: Token) -> messages.Health:
        store.forget(id)
        return messages.Health(status="forgotten", waiting=served.queue.waiting, photos=len(store))


def _add_explanations(app: FastAPI, served: _Served) -> None:
    model, store = served.model, served.store

    @app.post("/api/photos/{id}/explanations")
    async def explain(
        request: Request, id: Token, asked: messages.ExplanationAsked, x_client: Client = None
    ) -> messages.Explanation:
        photo, method = store.get(id), asked_method(asked.method, served.methods)

        def answer(job: Job[dict[str, Any]]) -> dict[str, Any]:
            return {**explained(model, photo, asked, method, job.go_on), "waited": round(job.waited, 3)}

        return messages.Explanation.model_validate(await served.compute(request, x_client, answer))

    @app.post("/api/photos/{id}/explanations/{explanation}/check")
    async def check(
        request: Request, id: Token, explanation: Token, nothing: messages.Nothing, x_client: Client = None
    ) -> messages.Check:
        photo = store.get(id)
        one = photo.explanation(explanation)
        found = await served.compute(request, x_client, lambda job: checked(model, photo, one, job.go_on))
        return messages.Check.model_validate(found)


def _add_units(app: FastAPI, served: _Served) -> None:
    store, units = served.store, served.units

    @app.get("/api/photos/{id}/units")
    async def strongest(
        request: Request,
        id: Token,
        layer: Annotated[str, Query(max_length=200)],
        x: Coordinate,
        y: Coordinate,
        count: Annotated[int, Query(ge=1, le=100)] = 12,
        x_client: Client = None,
    ) -> messages.Units:
        photo = store.get(id)
        found = await served.compute(request, x_client, lambda job: units.at(photo, layer, x, y, count))
        return messages.Units.model_validate(found)

    @app.get("/api/photos/{id}/units/{layer}/{channel}/heat")
    async def heat(
        request: Request, id: Token, layer: Layer, channel: Channel, x_client: Client = None
    ) -> messages.UnitHeat:
        photo = store.get(id)
        found = await served.compute(request, x_client, lambda job: units.heat(photo, layer, channel))
        return messages.UnitHeat.model_validate(found)

    @app.get("/api/units/{layer}/{channel}/picture", response_class=Response, responses={200: _PNG})
    async def picture(request: Request, layer: Layer, channel: Channel, x_client: Client = None) -> Response:
        name = units.layer(layer)
        made = units.known_picture(name, channel)
        if made is None:
            made = await served.compute(request, x_client, lambda job: units.picture(name, channel, job))
        return Response(made, media_type="image/png")


def _check_header(data: bytes, name: str, pixels: int) -> None:
    with opened_bytes(data, name, pixels):
        pass


def _given(score: float | None, overlap: float | None) -> dict[str, float]:
    return {name: value for name, value in (("score", score), ("overlap", overlap)) if value is not None}


def _add_refusals(app: FastAPI) -> None:
    """Whatever goes wrong is told in one line of JSON."""

    @app.exception_handler(AnswerError)
    def refused(request: Request, error: AnswerError) -> JSONResponse:
        return _line(error.status, error.line)

    @app.exception_handler(PellucidError)
    def mendable(request: Request, error: PellucidError) -> JSONResponse:
        return _line(400, str(error))

    @app.exception_handler(ClientGoneError)
    def gone(request: Request, error: ClientGoneError) -> JSONResponse:
        return _line(503, "nobody waited for this answer any more; ask again")

    @app.exception_handler(HTTPException)
    def usual(request: Request, error: HTTPException) -> JSONResponse:
        answer = _line(error.status_code, f"{request.method} {request.url.path[:80]}: {error.detail}")
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(RequestValidationError)
    def unclear(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        return _line(422, f"{place}: {first['msg']}" if place else str(first["msg"]))

    @app.exception_handler(Exception)
    def fault(request: Request, error: Exception) -> JSONResponse:
        return _line(500, f"this went wrong inside ({type(error).__name__}); the server's window says more")


def _line(status: int, line: str) -> JSONResponse:
    headers = {"retry-after": "5"} if status == 503 else None
    shown = " ".join(line.split())
    return JSONResponse({"error": shown.encode(errors="replace").decode()}, status, headers)
