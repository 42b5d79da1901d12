from __future__ import annotations

import contextlib
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import pytest
import structlog

from chargekey.gateway.v1 import operators_pb2
from chargekey_common.errors import NotFoundError
from chargekey_common.postgres import Postgres
from chargekey_common.testing.waiting import until
from chargekey_notifier.ocpi import tables
from chargekey_notifier.ocpi.tokens import Token, Tokens
from chargekey_notifier.sealing import Seal

from .between import CHARGER, EVSE, SECRET, SITE, VOLT, Us
from .msp import Msp, token

PATH = "/cpo/2.2.1/tokens/NO/VLT"
LATER = "2026-03-04T12:00:00Z"


class ChargerUnknownError(NotFoundError):
    code = "charger_unknown"
    sentence = "There is none."


async def test_what_an_operator_pushes_is_there_as_it_was_pushed(here: Us) -> None:
    """P7: §12.2.1, uids and parties in any case; the gateway hears of what is presented there."""
    secret = await here.registered()
    full = token(
        visual_number="VLT-1",
        group_id="family",
        language="nb",
        default_profile_type="GREEN",
        energy_contract={"supplier_name": "Volt", "contract_id": "9"},
    )
    assert "data" not in await here.call("PUT", f"{PATH}/04A1B2C3", secret, full)
    assert (await here.call("GET", f"{PATH}/04A1B2C3", secret))["data"] == full
    lower = "/cpo/2.2.1/tokens/no/vlt/04a1b2c3?type=RFID"
    assert (await here.call("GET", lower, secret))["data"] == full
    app = token("an-app", type="APP_USER", whitelist="NEVER")
    await here.call("PUT", f"{PATH}/an-app?type=APP_USER", secret, app)
    await here.call("GET", f"{PATH}/an-app", secret, expected=(404, 2004))
    assert (await here.call("GET", f"{PATH}/an-app?type=APP_USER", secret))["data"] == app
    assert here.gateway.whitelisted == {"04A1B2C3": (True, "ALLOWED")}


async def test_a_session_with_a_token_that_was_pushed_is_told_with_it(here: Us) -> None:
    """P50: by a reference of ours, which tells nobody the token and is told to nobody."""
    secret = await here.registered()
    await here.call("PUT", f"{PATH}/04A1B2C3", secret, token(whitelist="ALWAYS"))
    reference = here.gateway.references["04A1B2C3"]
    assert 0 < len(reference) <= 36
    assert "04a1b2c3" not in reference.lower()
    changed = token(valid=False, last_updated=LATER)
    await here.call("PUT", f"{PATH}/04A1B2C3", secret, changed)
    assert here.gateway.references["04A1B2C3"] == reference
    await here.call("PUT", f"{PATH}/04A1B2C4", secret, token("04A1B2C4"))
    assert here.gateway.references["04A1B2C4"] != reference
    for cdr in (await here.bills(secret, reference), await here.bills(secret, reference.upper())):
        wanted = ("country_code", "party_id", "uid", "type", "contract_id")
        assert cdr["cdr_token"] == {each: changed[each] for each in wanted}
        assert cdr["auth_method"] == "WHITELIST"
        assert "authorization_reference" not in cdr
    others = await here.bills(secret, "volt-77")
    assert (others["cdr_token"]["uid"], others["authorization_reference"]) == ("volt-77",) * 2


async def test_a_patch_changes_what_it_says_and_leaves_the_rest(here: Us) -> None:
    """P8: §12.2.1.3; of what is not there it is told so, that it may PUT."""
    secret = await here.registered()
    where = f"{PATH}/04A1B2C3"
    change = {"valid": False, "visual_number": None, "last_updated": LATER}
    await here.call("PATCH", where, secret, change, expected=(404, 2004))
    await here.call("PUT", where, secret, token(visual_number="VLT-1"))
    await here.call("PATCH", where, secret, change)
    wanted = token(valid=False, last_updated=LATER)
    assert (await here.call("GET", where, secret))["data"] == wanted
    assert here.gateway.whitelisted == {"04A1B2C3": (False, "ALLOWED")}
    for broken in ({"valid": True}, {"valid": "yes"}, {"uid": "another"}, {"valid": None}):
        sent = broken if broken == {"valid": True} else broken | {"last_updated": LATER}
        await here.call("PATCH", where, secret, sent, expected=(400, 2001))
    # What was on its way for longer does not count.
    await here.call("PUT", where, secret, token())
    assert (await here.call("GET", where, secret))["data"] == wanted


@pytest.mark.parametrize(
    "broken",
    [
        {"uid": "04A1B2C4"},
        {"type": "OTHER"},
        {"party_id": "WAT"},
        {"country_code": "SE"},
        {"whitelist": "SOMETIMES"},
        {"last_updated": "yesterday"},
        {"contract_id": "x" * 37},
        {"issuer": None},
    ],
)
async def test_a_token_that_is_none_is_refused(here: Us, broken: dict[str, object]) -> None:
    """P7: and nothing of it is said back."""
    secret = await here.registered()
    where = f"{PATH}/04A1B2C3"
    told = await here.call("PUT", where, secret, token(**broken), expected=(400, 2001))
    assert "04A1" not in told["status_message"]
    await here.call("GET", where, secret, expected=(404, 2004))
    assert not here.gateway.whitelisted


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"])
async def test_moments_that_nobody_lives_to_see_are_moments(
    here: Us, msp: Msp, moment: str
) -> None:
    """P39: pushed, fetched and asked between."""
    msp.tokens = [token("04B1B2C3", last_updated=moment)]
    secret = await here.registered()
    await until(lambda: "04B1B2C3" in here.gateway.whitelisted)
    where = f"{PATH}/04A1B2C3"
    await here.call("PUT", where, secret, token(last_updated=moment))
    assert (await here.call("GET", where, secret))["data"]["uid"] == "04A1B2C3"
    await here.call("PATCH", where, secret, {"last_updated": moment, "valid": False})
    asked = urlencode({"date_from": moment, "date_to": moment})
    await here.call("GET", f"/cpo/2.2.1/locations?{asked}", secret)


async def test_nobody_touches_what_is_somebody_elses(here: Us) -> None:
    """P7: §4.1.6."""
    secret = await here.registered()
    there = "/cpo/2.2.1/tokens/NO/WAT/04A1B2C3"
    await here.call("PUT", there, secret, token(party_id="WAT"), expected=(404, 2004))
    await here.call("GET", there, secret, expected=(404, 2004))
    oversized = {"x": "y" * 70_000}
    await here.call("PUT", f"{PATH}/04A1B2C3", secret, oversized, expected=(413, 2001))


async def test_tokens_are_fetched_after_the_handshake_on_command_and_daily(
    here: Us, msp: Msp
) -> None:
    """P9: page by page, what is malformed or not its own left aside."""
    msp.tokens = [
        token("04A1B2C3"),
        {"uid": "04B0"},
        token("04A1B2C4", whitelist="ALWAYS"),
        token("04A1B2C5", party_id="WAT"),
        token("04A1B2C6", valid=False),
    ]
    secret = await here.registered()

    def is_pulled() -> bool:
        peer = here.ocpi.peers.get(VOLT)
        return peer is not None and peer.pulled_at > 0

    await until(is_pulled)
    assert msp.asked == [{}, {"offset": "2"}, {"offset": "4"}]
    assert here.gateway.whitelisted == {
        "04A1B2C3": (True, "ALLOWED"),
        "04A1B2C4": (True, "ALWAYS"),
        "04A1B2C6": (False, "ALLOWED"),
    }
    msp.tokens.append(token("04A1B2C7"))
    peer = here.ocpi.peers.get(VOLT)
    assert peer is not None
    assert await here.ocpi.keeping.pull(peer) == 4
    # A day later: what has changed since.
    msp.asked.clear()
    with here.ocpi.peers.database.writing() as connection:
        connection.execute(tables.PEERS.update().values(pulled_at=1_772_539_200_000_000_000))
    here.ocpi.keeping.changed()
    await until(lambda: bool(msp.asked))
    assert msp.asked[0] == {"date_from": "2026-03-03T11:00:00.000Z"}
    await here.ocpi.connecting.disconnect(here.context(), VOLT)
    await until(lambda: set(here.gateway.whitelisted.values()) == {(False, "")})
    await here.call("GET", f"{PATH}/04A1B2C3", secret, expected=(401, 2000))
    await until(lambda: here.ocpi.tokens.count(VOLT) == 0)
    assert not list(here.ocpi.tokens.of(VOLT))


async def test_there_are_only_so_many_tokens_and_what_is_known_is_changed_all_the_same(
    here: Us, msp: Msp
) -> None:
    """P46: pushed or fetched; what blocks a card counts whatever else comes with it."""
    here.ocpi.tokens.most = 2
    msp.tokens = [token("04A1B2C3"), token("04A1B2C4"), token("04A1B2C5")]
    secret = await here.registered()
    await until(lambda: len(here.gateway.whitelisted) == 2)
    assert here.ocpi.tokens.count(VOLT) == 2
    one_more = await here.call(
        "PUT", f"{PATH}/04A1B2C6", secret, token("04A1B2C6"), expected=(200, 2001)
    )
    assert "2 tokens" in one_more["status_message"]
    await here.call("GET", f"{PATH}/04A1B2C6", secret, expected=(404, 2004))
    blocked = token("04A1B2C3", valid=False, last_updated=LATER)
    await here.call("PUT", f"{PATH}/04A1B2C3", secret, blocked)
    # What was on its way for longer is no further one.
    await here.call("PUT", f"{PATH}/04A1B2C3", secret, token("04A1B2C3"))
    assert (await here.call("GET", f"{PATH}/04A1B2C3", secret))["data"] == blocked
    msp.tokens = [
        token("04A1B2C7"),
        token("04A1B2C4", valid=False, last_updated=LATER),
        token("04A1B2C8"),
    ]
    peer = here.ocpi.peers.get(VOLT)
    assert peer is not None
    with structlog.testing.capture_logs() as lines:
        assert await here.ocpi.keeping.pull(peer) == 2
    [said] = [each for each in lines if each["event"] == "ocpi_tokens_too_many"]
    assert said["left_out"] == 2
    assert here.gateway.whitelisted == dict.fromkeys(("04A1B2C3", "04A1B2C4"), (False, "ALLOWED"))


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_tokens_are_counted_as_they_come_in_either_store(
    request: pytest.FixtureRequest, tmp_path: Path, store: str
) -> None:
    """P46."""
    where: Path | Postgres = tmp_path / "ocpi.db"
    if store == "postgres":
        where = request.getfixturevalue("postgres")
        tables.migrate(where)
    with contextlib.closing(tables.opened(where)) as database:
        tokens = Tokens(database, Seal(SECRET, b"ocpi"), SECRET, most=3)
        few = [msgspec.convert(token(f"04A1B2C{number}"), Token) for number in range(5)]
        assert tokens.count(VOLT) == 0
        for given, kept, left_out in (
            (few[:2], few[:2], []),
            (few[1:], few[1:3], few[3:]),
            (few, few[:3], few[3:]),
        ):
            put = tokens.put(VOLT, *given)
            assert (put.kept, put.left_out) == (kept, left_out)
        assert tokens.put("watt", few[4]).kept == few[4:]
        assert (tokens.count(VOLT), tokens.count("watt")) == (3, 1)


async def test_of_all_links_the_next_pages_is_followed(here: Us, msp: Msp) -> None:
    """P40: however many there are, and also where no comma parts them."""
    msp.links_before = "<http://127.0.0.1:9/>;" * 2000
    msp.tokens = [token("04A1B2C3"), token("04A1B2C4"), token("04A1B2C5")]
    await here.registered()
    await until(lambda: len(here.gateway.whitelisted) == 3)
    assert msp.asked == [{}, {"offset": "2"}]


async def test_a_card_of_ours_is_decided_over_where_the_operator_is(here: Us) -> None:
    """P10: §12.2.2.2, from the operator to us, for sites where permissions decide."""
    secret = await here.registered()
    path = "/cpo/2.2.1/tokens/04A1B2C3/authorize?type=RFID"
    where = {"location_id": SITE, "evse_uids": [EVSE]}
    here.gateway.verdict = operators_pb2.AuthorizeForOperatorResponse(
        allowed="ALLOWED", charger_ids=[CHARGER], identification_id="the-card"
    )
    told = (await here.call("POST", path, secret, where))["data"]
    assert told["allowed"] == "ALLOWED"
    assert told["location"] == where
    assert {
        "country_code": "NO",
        "party_id": "CKY",
        "uid": "04A1B2C3",
        "type": "RFID",
        "contract_id": "the-card",
        "issuer": "Chargekey",
        "valid": True,
        "whitelist": "NEVER",
    }.items() <= told["token"].items()
    asked = here.gateway.asked.pop()
    assert (asked.partner_id, asked.installation_id, list(asked.charger_ids), asked.code) == (
        *(VOLT, SITE),
        *([CHARGER], "04A1B2C3"),
    )
    here.gateway.verdict = operators_pb2.AuthorizeForOperatorResponse(
        allowed="BLOCKED", identification_id="the-card"
    )
    told = (await here.call("POST", path, secret, {"location_id": SITE}))["data"]
    assert (told["allowed"], told["token"]["valid"], "location" in told) == (
        "BLOCKED",
        False,
        False,
    )
    here.gateway.verdict = operators_pb2.AuthorizeForOperatorResponse()
    await here.call("POST", path, secret, where, expected=(404, 2004))
    here.gateway.refusal = ChargerUnknownError()
    await here.call("POST", path, secret, where, expected=(200, 2003))
    here.gateway.asked.clear()
    await here.call("POST", path, secret, expected=(200, 2002))
    app = path.replace("RFID", "APP_USER")
    await here.call("POST", app, secret, where, expected=(404, 2004))
    assert not here.gateway.asked
