"""Tokens: taken from operators (§12.2.1), and decided over for them (§12.2.2.2)."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.routing import BaseRoute

from chargekey.gateway.v1 import operators_pb2 as pb
from chargekey_common.errors import ChargekeyError
from chargekey_common.evses import charger_of
from chargekey_notifier.ocpi.charging import PRESENTED
from chargekey_notifier.ocpi.http import (
    INVALID,
    NOT_ENOUGH,
    UNKNOWN_LOCATION,
    UNKNOWN_TOKEN,
    Answer,
    Door,
    OcpiError,
    body,
)
from chargekey_notifier.ocpi.messages import VERSION, LocationReferences, Module, Party
from chargekey_notifier.ocpi.peers import Peer
from chargekey_notifier.ocpi.tokens import Allowed, AuthorizationInfo, Token, Tokens

PATH = f"/ocpi/cpo/{VERSION}/tokens"
MODULES = (Module(identifier="tokens", role="RECEIVER", url=PATH),)


class Gateway(Protocol):
    """Who decides at chargers."""

    async def remember(self, partner_id: str, tokens: Sequence[Token]) -> None:
        """Tell it what an operator says of tokens; raises UnavailableError."""

    async def authorize(
        self, partner_id: str, installation_id: str, charger_ids: Sequence[str], code: str
    ) -> pb.AuthorizeForOperatorResponse:
        """Return whether a card may charge there; raises a ChargekeyError."""


class PushedTokens:
    """Answers operators as `party`."""

    def __init__(self, door: Door, tokens: Tokens, gateway: Gateway, party: Party) -> None:
        self._door = door
        self._tokens = tokens
        self._gateway = gateway
        self._party = party

    def routes(self) -> Sequence[BaseRoute]:
        """Return where it answers."""
        one = f"{PATH}/{{country_code}}/{{party_id}}/{{uid}}"
        return (
            self._door.route(f"{PATH}/{{uid}}/authorize", post=self._authorize),
            self._door.route(one, get=self._get, put=self._put, patch=self._patch),
        )

    async def _get(self, request: Request, peer: Peer) -> Answer:
        return Answer(data=await self._known(request, peer))

    async def _put(self, request: Request, peer: Peer) -> Answer:
        _require_owner(request, peer)
        await self._keep(request, peer, await body(request, Token))
        return Answer()

    async def _patch(self, request: Request, peer: Peer) -> Answer:
        """Change what is given (§4.1.3.3): null is no value, the rest stays."""
        known = await self._known(request, peer)
        given = await body(request, dict[str, Any])
        if "last_updated" not in given:
            message = "A PATCH says when the token was changed: `last_updated`."
            raise OcpiError(INVALID, message, http=400)
        fields = msgspec.to_builtins(known) | given
        try:
            changed = msgspec.convert(
                {name: value for name, value in fields.items() if value is not None}, Token
            )
        except msgspec.ValidationError as error:
            raise OcpiError(INVALID, str(error), http=400) from None
        await self._keep(request, peer, changed)
        return Answer()

    async def _keep(self, request: Request, peer: Peer, token: Token) -> None:
        if not _is_at(request, token):
            message = "The token is another one than the URL says."
            raise OcpiError(INVALID, message, http=400)
        put = await asyncio.to_thread(self._tokens.put, peer.partner_id, token)
        if put.left_out:
            message = f"There are {self._tokens.most} tokens already, which is as many as we keep."
            raise OcpiError(INVALID, message)
        await self._gateway.remember(peer.partner_id, put.kept)

    async def _known(self, request: Request, peer: Peer) -> Token:
        _require_owner(request, peer)
        names = request.path_params
        token = await asyncio.to_thread(
            self._tokens.get,
            peer.partner_id,
            names["country_code"],
            names["party_id"],
            names["uid"],
            _type(request),
        )
        if token is None:
            raise _unknown()
        return token

    async def _authorize(self, request: Request, peer: Peer) -> Answer:
        """Decide over a card of ours at a site that the operator manages."""
        uid, kind = request.path_params["uid"], _type(request)
        where = await _references(request)
        if where is None:
            message = "Say where: every site has its own permissions."
            raise OcpiError(NOT_ENOUGH, message)
        if kind not in PRESENTED:
            raise _unknown()
        evses = {each: charger_of(each)[0] for each in where.evse_uids}
        try:
            said = await self._gateway.authorize(
                peer.partner_id, where.location_id, sorted(set(evses.values())), uid
            )
        except ChargekeyError as error:
            if error.code != "charger_unknown":
                raise
            message = "There is no such location or EVSE that you operate."
            raise OcpiError(UNKNOWN_LOCATION, message) from None
        if not said.allowed:
            raise _unknown()
        token = Token(
            country_code=self._party.country_code,
            party_id=self._party.party_id,
            uid=uid,
            type="OTHER" if kind == "OTHER" else "RFID",
            contract_id=said.identification_id,
            issuer=self._party.name[:64],
            valid=said.allowed not in {"BLOCKED", "EXPIRED"},
            whitelist="NEVER",
            last_updated=dt.datetime.fromtimestamp(self._door.clock() // 10**9, dt.UTC),
        )
        location = None
        if said.allowed == "ALLOWED":
            allowed = tuple(uid for uid, each in evses.items() if each in said.charger_ids)
            location = LocationReferences(location_id=where.location_id, evse_uids=allowed)
        return Answer(
            data=AuthorizationInfo(
                allowed=msgspec.convert(said.allowed, Allowed), token=token, location=location
            )
        )


async def _references(request: Request) -> LocationReferences | None:
    """Return where it is asked for: the body is optional."""
    if request.headers.get("content-length", "0") == "0" and (
        "transfer-encoding" not in request.headers
    ):
        return None
    return await body(request, LocationReferences)


def _require_owner(request: Request, peer: Peer) -> None:
    """Let an operator at its own tokens alone (§4.1.6)."""
    names = request.path_params
    if not peer.is_called(names["country_code"], names["party_id"]):
        raise _unknown()


def _is_at(request: Request, token: Token) -> bool:
    names = request.path_params
    given = (names["country_code"], names["party_id"], names["uid"], _type(request))
    its = (token.country_code, token.party_id, token.uid, token.type)
    return tuple(each.lower() for each in given) == tuple(each.lower() for each in its)


def _type(request: Request) -> str:
    return request.query_params.get("type", "RFID")


def _unknown() -> OcpiError:
    return OcpiError(UNKNOWN_TOKEN, "There is no such token.", http=404)
