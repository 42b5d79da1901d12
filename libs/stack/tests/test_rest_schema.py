"""The REST API answers as its document says, to whatever it is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.specs.openapi import checks as conformance

from chargekey_portal.rest.openapi import encoded

from .at_rest import Caller, Site, administrator
from .running_system import RunningSystem, up

EXAMPLES = 2  # of each operation, by each caller
CHECKS = [
    schemathesis.checks.not_a_server_error,
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_headers_conformance,
    conformance.response_schema_conformance,
]
# Which need no token; but for what is sent itself, which is as good as one.
FOR_ANYBODY = {
    "GET /.well-known/jwks.json",
    "POST /api/v1/invitations/accept",
    "POST /api/v1/invitations/read",
    "POST /api/v1/sign-in",
    "POST /api/v1/sign-in/links",
    "POST /api/v1/sign-in/open-id",
    "POST /api/v1/sign-in/open-id/complete",
    "POST /api/v1/sign-out",
    "POST /api/v1/unsubscribe",
}

document = schemathesis.openapi.from_dict(json.loads(encoded()))


@pytest.fixture(scope="module")
def own_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """Yield one that nobody else has: what is sent here may well be done."""
    directory = tmp_path_factory.mktemp("schema")
    with up(directory / "data", directory / "said", working_directory=Path("/")) as running:
        yield running


@pytest.fixture(scope="module")
def site(own_system: RunningSystem) -> Site:
    return Site(own_system, "schema")


@pytest.fixture(scope="module")
def callers(own_system: RunningSystem, site: Site) -> tuple[Caller, ...]:
    # The one who may do most comes last.
    return Caller(own_system), site.owner, administrator(own_system)


@document.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_of_those_that_are_described(
    case: Case, callers: tuple[Caller, ...], site: Site
) -> None:
    # What is there; of other things any text is sent.
    there = {"installation_id": site.id, "charger_id": site.charger, "user_id": site.owner_id}
    for each in case.path_parameters:
        case.path_parameters[each] = there.get(each, case.path_parameters[each])
    for caller in callers:
        case.headers.pop("Authorization", None)
        answer = case.call(base_url=caller.portal, headers=caller.headers, timeout=30)
        case.validate_response(answer, checks=CHECKS)


def test_without_a_token_nobody_is_answered_but_where_anybody_is(
    own_system: RunningSystem,
) -> None:
    """Nor with one that is none."""
    answered = set()
    paths: Mapping[str, Mapping[str, Any]] = json.loads(encoded())["paths"]
    base_url = own_system.ready["portal"]
    with httpx2.Client(base_url=base_url, trust_env=False, timeout=30) as client:
        for path, operations in paths.items():
            address = re.sub(r"{\w+}", "00000000-0000-4000-8000-000000000000", path)
            for method, operation in operations.items():
                media_type = next(iter(operation.get("requestBody", {}).get("content", ())), None)
                headers = {"content-type": media_type} if media_type else {}
                for token in ({}, {"authorization": "Bearer none"}):
                    answer = client.request(
                        *(method.upper(), address),
                        headers={**headers, **token},
                        content=b"{}" if media_type else None,
                    )
                    if answer.status_code != HTTPStatus.UNAUTHORIZED:
                        answered.add(f"{method.upper()} {path}")
    assert answered == FOR_ANYBODY
