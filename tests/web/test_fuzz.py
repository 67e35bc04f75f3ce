"""Whatever is asked, the server answers as its own description says, and never with a fault of its own."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pellucid.web import Limits, create_app

from .conftest import client_of_app, detector, drop

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
HOST = {"Host": "localhost:8321"}
OPERATIONS = (
    ("/api/model", "GET"),
    ("/api/health", "GET"),
    ("/api/photos", "POST"),
    ("/api/photos/{id}", "DELETE"),
    ("/api/photos/{id}/picture", "GET"),
    ("/api/photos/{id}/objects", "GET"),
    ("/api/photos/{id}/outlines", "GET"),
    ("/api/photos/{id}/explanations", "POST"),
    ("/api/photos/{id}/explanations/{explanation}/check", "POST"),
    ("/api/photos/{id}/units", "GET"),
    ("/api/photos/{id}/units/{layer}/{channel}/heat", "GET"),
    ("/api/units/{layer}/{channel}/picture", "GET"),
)


@pytest.fixture(scope="module")
def described() -> Iterator[tuple[Any, Any]]:
    """The server's description of itself, and the server."""
    app = create_app(detector("faster_rcnn"), Limits(photos=4))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers=HOST)
    yield schema, app
    app.state.queue.close()


def test_every_address_is_tried(described: Any) -> None:
    schema, _ = described
    assert sorted(OPERATIONS) == sorted((op.ok().path, op.ok().method.upper()) for op in schema.get_all_operations())


ASKED = [(*operation, False) for operation in OPERATIONS]
ASKED += [(*operation, True) for operation in OPERATIONS if "{id}" in operation[0]]


@pytest.mark.parametrize(("path", "method", "known"), ASKED)
def test_it_answers_as_described(described: Any, path: str, method: str, known: bool) -> None:
    schema, app = described
    operation = schema[path][method]
    cases = st.one_of(
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
    )
    photo = drop(client_of_app(app))["id"] if known else None

    @given(case=cases)
    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: schemathesis.Case) -> None:
        if photo is not None:
            case.path_parameters["id"] = photo
        case.call_and_validate(headers=HOST, checks=CHECKS)

    ask()
