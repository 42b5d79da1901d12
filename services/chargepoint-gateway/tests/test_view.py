"""The view fed with messages as they travel: positions, generations, private messages."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest

from chargekey_common.follower import Message
from chargekey_common.keyed_ids import KeyedId
from chargekey_common.positions import Position
from chargekey_common.published import access, identity
from chargekey_common.published.envelope import (
    POSITION_HEADER,
    Attributes,
    PublishedEvent,
    headers,
)
from chargekey_gateway.decision import decide
from chargekey_gateway.inputs import gather
from chargekey_gateway.view.view import View

FIRST = "0000000000000001"
SECOND = "0000000000000002"
KEY = "aa" * 16
OTHER_KEY = "bb" * 16


def message(event: PublishedEvent, number: int, generation: str = FIRST) -> Message:
    position = Position(event.stream, generation, number)
    about = Attributes(id=f"{number}", at=0, cause="", actor="", position=position)
    return Message(
        event.subject,
        number,
        msgspec.json.encode(event),
        headers(event, about, source=event.stream),
    )


SITE = access.InstallationCreated(
    installation_id="site", name="", time_zone="UTC", authorisation_required=True
)
CREDENTIAL = access.ChargerCredential(charger_id="charger", password_hash="cafe")
CHARGER = access.ChargerAdded(
    charger_id="charger",
    installation_id="site",
    ocpp_identity="CP-1",
    authorisation_override="INHERIT",
    identification_types=("RFID", "PIN"),
)
GRANT = access.PermissionGranted(
    installation_id="site", permission_id="permission", user_id="user", roles=("USER",)
)
REVOKE = access.PermissionRevoked(
    installation_id="site", permission_id="permission", user_id="user"
)
USER = identity.LocalUserAdded(user_id="user", installation_id="site")
PIN_KEY = identity.IdentificationKey(identification_id="pin", keyed_id=KEY)
PIN = identity.IdentificationAdded(
    identification_id="pin", user_id="user", type="PIN", status="ACTIVE", installation_id="site"
)
NEW_KEY = identity.IdentificationKey(identification_id="pin", keyed_id=OTHER_KEY)
NEW_CODE = identity.IdentificationCodeChanged(identification_id="pin", user_id="user")
REMOVED = identity.IdentificationRemoved(identification_id="pin", user_id="user")
BLOCK = identity.UserBlocked(user_id="user", installation_id="site")
UNBLOCK = identity.UserUnblocked(user_id="user", installation_id="site")

ACCESS = [
    message(SITE, 1),
    message(CREDENTIAL, 2),
    message(CHARGER, 2),
    message(GRANT, 5),
]
IDENTITY = [message(USER, 1), message(PIN_KEY, 3), message(PIN, 3)]


def fill(view: View, messages: Sequence[Message]) -> None:
    for each in messages:
        view.handle(each)


def loaded() -> View:
    view = View()
    fill(view, ACCESS)
    fill(view, IDENTITY)
    return view


def reason(view: View, key: str = KEY, at: int = 0) -> str:
    charger = view.charger("charger")
    assert charger is not None
    identification = view.identification(KeyedId(bytes.fromhex(key)))
    return decide(
        gather(charger, "PIN", identification, malformed=False, at=at, positions=())
    ).reason


def test_a_pin_added_from_then_on_authorizes() -> None:
    """S0-24."""
    assert reason(loaded()) == "installation_permission"


def test_chargers_are_found_by_id_and_by_ocpp_identity() -> None:
    view = loaded()
    charger = view.charger("charger")
    assert charger is view.charger_by_ocpp_identity("CP-1")
    assert charger is not None
    assert (charger.installation.id, charger.password_hash) == ("site", "cafe")
    assert view.charger("another") is None
    assert view.charger_by_ocpp_identity("CP-2") is None


def test_a_new_credential_replaces_the_old_one() -> None:
    view = loaded()
    view.apply(msgspec.structs.replace(CREDENTIAL, password_hash="f00d"))
    charger = view.charger("charger")
    assert charger is not None
    assert charger.password_hash == "f00d"


def test_a_changed_code_works_and_the_old_one_does_not() -> None:
    """S0-26."""
    view = loaded()
    fill(view, [message(NEW_KEY, 4), message(NEW_CODE, 4)])
    assert reason(view, OTHER_KEY) == "installation_permission"
    assert reason(view, KEY) == "identification_unknown"


def test_an_identification_ends_when_it_says_and_without_an_end_never() -> None:
    """R18, S0-22."""
    view = View()
    fill(view, ACCESS)
    ending = msgspec.structs.replace(PIN, valid_until=1000)
    fill(view, [message(USER, 1), message(PIN_KEY, 3), message(ending, 3)])
    assert reason(view, at=999) == "installation_permission"
    assert reason(view, at=1000) == "identification_expired"
    endless = identity.IdentificationExpiryChanged(identification_id="pin", user_id="user")
    view.handle(message(endless, 4))
    assert reason(view, at=1000) == "installation_permission"


def test_the_code_of_a_removed_identification_may_be_anothers() -> None:
    view = loaded()
    key = identity.IdentificationKey(identification_id="second", keyed_id=KEY)
    second = msgspec.structs.replace(PIN, identification_id="second")
    fill(view, [message(REMOVED, 4), message(key, 5), message(second, 5)])
    known = view.identification(KeyedId(bytes.fromhex(KEY)))
    assert known is not None
    assert known.id == "second"


def test_an_identification_whose_key_was_erased_is_nobodys() -> None:
    """On a replay the private message of a removed or changed code is not there any more."""
    view = View()
    fill(view, ACCESS)
    fill(view, [message(USER, 1), message(PIN, 3)])
    assert reason(view) == "identification_unknown"
    fill(view, [message(NEW_KEY, 4), message(NEW_CODE, 4)])
    assert reason(view, OTHER_KEY) == "installation_permission"


def test_a_blocked_local_user_is_refused_with_every_identification() -> None:
    """S0-15, R12."""
    view = loaded()
    card_key = identity.IdentificationKey(identification_id="card", keyed_id=OTHER_KEY)
    card = msgspec.structs.replace(PIN, identification_id="card", type="RFID")
    fill(view, [message(BLOCK, 4), message(card_key, 5), message(card, 5)])
    assert (reason(view, KEY), reason(view, OTHER_KEY)) == ("user_blocked", "user_blocked")
    view.handle(message(UNBLOCK, 6))
    assert reason(view, OTHER_KEY) == "installation_permission"


def test_a_user_added_blocked_is_blocked() -> None:
    """S0-15: Blocked can be ticked when the user is created."""
    view = View()
    fill(view, ACCESS)
    blocked = msgspec.structs.replace(USER, blocked=True)
    fill(view, [message(blocked, 1), message(PIN_KEY, 3), message(PIN, 3)])
    assert reason(view) == "user_blocked"


def test_a_block_of_the_platform_and_one_of_the_site_are_lifted_apart() -> None:
    view = loaded()
    everywhere = identity.UserBlocked(user_id="user")
    fill(view, [message(BLOCK, 4), message(everywhere, 5), message(UNBLOCK, 6)])
    assert reason(view) == "user_blocked"
    view.handle(message(identity.UserUnblocked(user_id="user"), 7))
    assert reason(view) == "installation_permission"


def test_a_block_is_told_to_whoever_listens() -> None:
    view = loaded()
    heard: list[str] = []
    view.on_block(heard.append)
    fill(view, [message(BLOCK, 4), message(BLOCK, 4), message(NEW_CODE, 5), message(UNBLOCK, 6)])
    assert heard == ["user", "user"]


def test_the_charger_deviates_from_its_site_or_not() -> None:
    """R1."""
    view = loaded()
    opened = access.AuthorisationRequiredSet(installation_id="site", authorisation_required=False)
    view.apply(opened)
    assert reason(view) == "open_charger"
    for override, expected in (
        ("REQUIRED", "installation_permission"),
        ("NOT_REQUIRED", "open_charger"),
    ):
        view.apply(
            access.AuthorisationOverrideSet(
                charger_id="charger",
                installation_id="site",
                authorisation_override=override,  # type: ignore[arg-type]  # one of the two above
            )
        )
        assert reason(view) == expected


def test_permissions_of_a_user_that_is_not_known_yet_are_kept() -> None:
    view = View()
    fill(view, [message(GRANT, 1)])
    fill(view, IDENTITY)
    fill(view, [message(SITE, 2), message(CHARGER, 3)])
    assert reason(view) == "installation_permission"


def test_what_was_applied_is_not_applied_again() -> None:
    view = loaded()
    fill(view, [message(REVOKE, 6), message(NEW_KEY, 4), message(NEW_CODE, 4)])
    before = view.digest()
    fill(view, [*ACCESS, *IDENTITY])  # a refilled stream, from its beginning
    assert view.digest() == before
    assert view.positions == (f"access:{FIRST}:6", f"identity:{FIRST}:4")


def test_another_generation_replaces_that_services_facts_only() -> None:
    view = loaded()
    charger = view.charger("charger")
    view.handle(message(SITE, 1, SECOND))
    assert view.charger("charger") is None
    assert view.charger_by_ocpp_identity("CP-1") is None
    fill(view, [message(CREDENTIAL, 2, SECOND), message(CHARGER, 2, SECOND)])
    assert view.charger("charger") is charger  # open connections hold on to it
    assert reason(view) == "no_permission"
    view.handle(message(GRANT, 3, SECOND))
    assert reason(view) == "installation_permission"
    assert view.positions == (f"access:{SECOND}:3", f"identity:{FIRST}:3")


def test_a_reloaded_view_equals_a_fresh_one() -> None:
    view = loaded()
    fill(view, [message(BLOCK, 4), message(NEW_KEY, 5), message(NEW_CODE, 5)])
    view.reset("identity")
    fill(view, IDENTITY)
    assert view.digest() == loaded().digest()
    view.reset("access")
    fill(view, ACCESS)
    assert view.digest() == loaded().digest()


class Skipped:
    """What `/metrics` counts from now on."""

    def __init__(self) -> None:
        self._before = self._now("unknown"), self._now("unreadable")

    @property
    def unknown(self) -> int:
        return self._now("unknown") - self._before[0]

    @property
    def unreadable(self) -> int:
        return self._now("unreadable") - self._before[1]

    def _now(self, why: str) -> int:
        line = f'view_events_skipped_total{{why="{why}"}} '
        [found] = [each for each in generate_latest().decode().splitlines() if line in each]
        return int(float(found.removeprefix(line)))


@pytest.fixture
def skipped() -> Skipped:
    return Skipped()


def test_unknown_events_are_counted_and_passed(skipped: Skipped) -> None:
    view = loaded()
    known = message(GRANT, 6)
    view.handle(
        Message("access.v1.installation.site.MoonPhaseChanged", 6, b"{}", dict(known.headers))
    )
    assert (skipped.unknown, skipped.unreadable) == (1, 0)
    assert view.positions[0] == f"access:{FIRST}:6"


def test_an_unreadable_event_is_counted_and_passed(skipped: Skipped) -> None:
    view = loaded()
    known = message(GRANT, 6)
    view.handle(Message(known.subject, 6, b'{"permission_id": 7}', known.headers))
    assert (skipped.unknown, skipped.unreadable) == (0, 1)
    assert view.positions[0] == f"access:{FIRST}:6"


def test_an_unreadable_private_message_does_not_hide_the_event_behind_it(skipped: Skipped) -> None:
    view = View()
    view.handle(message(SITE, 1))
    view.handle(msgspec.structs.replace(message(CREDENTIAL, 2), data=b"{"))
    view.handle(message(CHARGER, 2))
    assert skipped.unreadable == 1
    assert view.charger("charger") is not None
    assert view.positions == (f"access:{FIRST}:2",)


@pytest.mark.parametrize(
    "header", ["", "nonsense", "access", f"access:{FIRST}:-1", f"access:{FIRST}:7x", "x" * 10_000]
)
def test_an_event_without_a_readable_position_is_counted_and_passed(
    header: str, skipped: Skipped
) -> None:
    """It may have been applied before, and nobody can say; what follows it counts."""
    view = loaded()
    known = message(REVOKE, 6)
    view.handle(msgspec.structs.replace(known, headers={**known.headers, POSITION_HEADER: header}))
    assert (skipped.unknown, skipped.unreadable) == (0, 1)
    assert reason(view, KEY) == "installation_permission"
    view.handle(message(REVOKE, 7))
    assert reason(view, KEY) == "no_permission"


@pytest.mark.parametrize("keyed_id", ["", "zz" * 16, "aa" * 15, "aa" * 17, "aa" * 15 + "a", "é"])
def test_a_key_that_is_none_is_counted_and_finds_nothing(keyed_id: str, skipped: Skipped) -> None:
    """Nor does the key before it: the code was changed, and only that is certain."""
    view = loaded()
    broken = identity.IdentificationKey(identification_id="pin", keyed_id=keyed_id)
    view.handle(message(broken, 4))
    view.handle(message(NEW_CODE, 4))
    assert skipped.unreadable == 1
    assert reason(view, KEY) == "identification_unknown"
    assert view.positions[1] == f"identity:{FIRST}:4"


HISTORY = {
    "access": [
        message(event, number)
        for number, event in enumerate(
            [
                SITE,
                CHARGER,
                GRANT,
                msgspec.structs.replace(GRANT, permission_id="p2", charger_id="charger"),
                REVOKE,
                msgspec.structs.replace(GRANT, valid_until=77),
                access.IdentificationTypesSet(
                    charger_id="charger", installation_id="site", identification_types=("PIN",)
                ),
            ],
            start=1,
        )
    ],
    "identity": [
        *IDENTITY,
        message(BLOCK, 4),
        message(NEW_KEY, 5),
        message(NEW_CODE, 5),
        message(msgspec.structs.replace(USER, user_id="second"), 6),
        message(
            identity.IdentificationExpiryChanged(
                identification_id="pin", user_id="user", valid_until=50
            ),
            7,
        ),
        message(UNBLOCK, 8),
    ],
}


@settings(max_examples=500)
@given(turns=st.lists(st.booleans(), max_size=30), again=st.lists(st.integers(0, 20), max_size=20))
def test_the_streams_may_interleave_and_repeat_in_any_way(
    turns: list[bool], again: list[int]
) -> None:
    straight = View()
    fill(straight, HISTORY["access"])
    fill(straight, HISTORY["identity"])

    mixed = View()
    left = {"access": list(HISTORY["access"]), "identity": list(HISTORY["identity"])}
    seen: list[Message] = []
    for turn in turns:
        stream = left["access" if turn else "identity"]
        if stream:
            seen.append(stream.pop(0))
            mixed.handle(seen[-1])
        if again and seen:
            mixed.handle(seen[again.pop() % len(seen)])
    fill(mixed, left["identity"])
    fill(mixed, left["access"])
    assert mixed.digest() == straight.digest()
    assert mixed.positions == straight.positions
    assert reason(mixed, OTHER_KEY, at=49) == "charger_permission"
