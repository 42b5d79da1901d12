"""A charger's end of a connection without a socket, held against the official schemas."""

from __future__ import annotations

import asyncio
import json
import pathlib
from typing import Any

import jsonschema
import ocpp
import pytest

from chargekey_gateway.commands import Command, Result
from chargekey_gateway.ocpp.connection import ChargerConnection
from chargekey_gateway.ocpp.dialect import Dialect
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.ocpp16 import commands as commands16
from chargekey_gateway.ocpp16 import send as send16
from chargekey_gateway.ocpp16.routes import OCPP16
from chargekey_gateway.ocpp20 import commands as commands20
from chargekey_gateway.ocpp20 import send as send20
from chargekey_gateway.ocpp20.routes import OCPP20
from chargekey_gateway.ocpp21 import commands as commands21
from chargekey_gateway.ocpp21 import send as send21
from chargekey_gateway.ocpp21.routes import OCPP21
from chargekey_gateway.view.entries import Charger, Installation

PLACES = {"1.6": ("v16", ""), "2.0.1": ("v201", "Request"), "2.1": ("v21", "Request")}
SCHEMAS = pathlib.Path(ocpp.__file__).parent
ACTIONS = {"1.6": send16.ACTIONS, "2.0.1": send20.ACTIONS, "2.1": send21.ACTIONS}
DIALECTS = {
    version: Dialect(
        version=version,
        routes={},
        not_offered=ACTIONS[version],
        fault_codes=codes,
        commands=table,
    )
    for version, codes, table in (
        ("1.6", OCPP16.fault_codes, commands16.COMMANDS),
        ("2.0.1", OCPP20.fault_codes, commands20.COMMANDS),
        ("2.1", OCPP21.fault_codes, commands21.COMMANDS),
    )
}
VERSIONS = tuple(DIALECTS)
TWO = VERSIONS[1:]
NOW = 1_795_000_000 * 10**9


def schema(version: str, name: str) -> dict[str, Any]:
    place = SCHEMAS / PLACES[version][0] / "schemas" / name
    document: dict[str, Any] = json.loads(place.read_text("utf-8-sig"))
    return document


def judge(version: str, name: str, payload: object) -> None:
    document = schema(version, name)
    jsonschema.validators.validator_for(document)(document).validate(payload)


class ChargerEnd:
    """A charger's end without a socket: answers every call with the next of `answers`.

    An answer is a payload, an error code, or None for silence.
    """

    def __init__(self, version: str, **limits: float) -> None:
        self.version = version
        self.calls: list[tuple[str, Any]] = []
        self.answers: list[Any] = []
        self.connection = ChargerConnection(
            Charger("charger-1", Installation("site"), registered=True),
            gateway=None,  # type: ignore[arg-type] # no command asks it anything
            dialect=DIALECTS[version],
            wire=self,
            limits=Limits(**limits),  # type: ignore[arg-type]
            clock=lambda: NOW,
        )

    def send(self, message: bytes) -> None:
        kind, message_id, action, payload = json.loads(message)
        assert (kind, len(message_id) <= 36) == (2, True)
        judge(self.version, f"{action}{PLACES[self.version][1]}.json", payload)
        self.calls.append((action, payload))
        answer = self.answers.pop(0)
        match answer:
            case None:
                return
            case str():
                frame = [4, message_id, answer, "#2468", {"why": "#2468"}]
            case _:
                frame = [3, message_id, answer]
        asyncio.get_running_loop().call_soon(self.connection.receive, json.dumps(frame).encode())

    def close(self, code: int, reason: str) -> None:
        pytest.fail(f"closed with {code}, {reason}")

    async def carry_out(self, command: Command, *answers: Any) -> Result:
        self.answers = list(answers)
        result = await self.connection.carry_out(command)
        assert self.answers == [], "asked less than expected"
        return result


def variable(name: str, **more: Any) -> dict[str, Any]:
    component, _, variable_ = name.partition(".")
    parts = {}
    for kind, text in (("component", component), ("variable", variable_)):
        word, _, instance = text.partition(":")
        parts[kind] = {"name": word, **({"instance": instance} if instance else {})}
    return {**parts, **more}
