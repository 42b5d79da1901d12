"""Who acts as an administrator: by a token of its own, beside the one he signed in with.

It stands in his session, is good for minutes, and is asked for anew each time (ADR 36).
"""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import Depends, Request

from chargekey.identity.v1 import sign_in_pb2 as pb
from chargekey_common.grpc.stubs import Stubs
from chargekey_portal.services import Services
from chargekey_portal.visitors import SignedIn, language

# Nanoseconds before its end at which a token is not begun with any more.
EARLY = 5 * 10**9
MINUTE = 60 * 10**9
# In the session: the token with its end, and where somebody was when he needed one.
_ACTING = "acting"
_TO = "acting_to"


class ActingNeededError(Exception):
    """The visitor acts as no administrator, or not any more."""


class Administrator:
    """Somebody who acts as an administrator, and the services as they answer him as one."""

    def __init__(self, acting: dict[str, Any], services: Services, language: str) -> None:
        # What he reads, of LANGUAGES.
        self.language = language
        self.services: Stubs = services.as_(acting["token"])
        # Where his clock is.
        self.zone: str = acting["zone"]
        self._until: int = acting["until"]

    @property
    def minutes_left(self) -> int:
        """For how many minutes he goes on, the last one begun counting whole."""
        return max(0, -(-(self._until - time.time_ns()) // MINUTE))


def acting(request: Request) -> Administrator | None:
    """Return the visitor as the administrator that he acts as, if he does."""
    found = request.session.get(_ACTING)
    if found is None:
        return None
    if found["until"] - EARLY < time.time_ns():
        stop(request)
        return None
    return Administrator(found, request.app.state.services, language(request))


def begin(request: Request, answer: pb.ActAsAdministratorResponse, zone: str) -> str:
    """Let the visitor act as one; return the address of where he was when he had to."""
    request.session[_ACTING] = {
        "token": answer.access_token,
        "until": answer.expires_at,
        "zone": zone,
    }
    return str(request.session.pop(_TO, "/administration"))


def stop(request: Request) -> None:
    """Let him act as none; his token ends by itself."""
    request.session.pop(_ACTING, None)


def come_back(request: Request) -> None:
    """Remember where he is, for when he acts as one."""
    request.session[_TO] = request.url.path


async def administrator(request: Request, _: SignedIn) -> Administrator:
    """Return as whom the visitor acts; raises ActingNeededError, and what `visitor` raises."""
    found = acting(request)
    if found is None:
        raise ActingNeededError
    return found


Acting = Annotated[Administrator, Depends(administrator)]
