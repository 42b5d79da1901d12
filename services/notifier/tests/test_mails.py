"""What people are mailed of, each with what is true when it is sent; and what they are not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import msgspec
import pytest
from nats.aio.client import Client

from chargekey.access.v1 import access_requests_pb2, permissions_pb2
from chargekey.identity.v1 import identifications_pb2, users_pb2
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.positions import Position
from chargekey_common.published.access import (
    AccessRequestApproved,
    AccessRequestDenied,
    AccessRequested,
    OwnerAccepted,
    OwnerAdded,
    OwnershipOffered,
    OwnershipTransferred,
    PermissionChanged,
    PermissionGranted,
    PermissionRevoked,
    UserBlockedAtInstallation,
)
from chargekey_common.published.chargers import PinLockedOut, PinLockedOutAtInstallation
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.published.identity import (
    IdentificationAdded,
    IdentificationExpiryChanged,
    UserErased,
)
from chargekey_common.testing.waiting import until
from chargekey_notifier.mails.choices import Choices
from chargekey_notifier.mails.kinds import Mail
from chargekey_notifier.mails.outbox import HOUR, Outbox
from chargekey_notifier.mails.reminders import DAY

from .conftest import SECRET, Running
from .neighbours import IdentityStream, Neighbours
from .smtp import Mailbox, part, subjects, text

WAITING = access_requests_pb2.ACCESS_REQUEST_STATE_WAITING
GRANTED = PermissionGranted(
    installation_id="home", permission_id="p1", user_id="kari", roles=("USER",)
)


def holds(
    neighbours: Neighbours, permission_id: str = "p1", valid_until: int | None = None
) -> None:
    """Let access know a permission."""
    neighbours.permissions.held[permission_id] = permissions_pb2.Permission(
        id=permission_id,
        installation_id="home",
        user_id="kari",
        roles=[permissions_pb2.ROLE_OWNER, permissions_pb2.ROLE_USER],
        valid_until=valid_until,
    )


async def settled(outbox: Outbox) -> None:
    await until(lambda: not outbox.waiting(now=time.time_ns()), within=20)


async def handled(outbox: Outbox, reaction: str, number: int) -> None:
    """Return once the reaction has come so far, and what was due is settled."""

    def is_handled() -> bool:
        position = outbox.handled(f"notifier-on-{reaction}")
        return position is not None and position.number >= number

    await until(is_handled, within=20)
    await settled(outbox)


@pytest.mark.parametrize(
    ("language", "subject", "words"),
    [
        ("en", "You were given access to charging", "charger CP-1 at Home. You can: manage it"),
        ("nb", "Du har fått tilgang til lading", "laderen CP-1 ved Home. Du kan: styre det"),
    ],
)
async def test_who_is_given_access_is_told_what_it_is_in_his_language(
    running: Running,
    stream: IdentityStream,
    neighbours: Neighbours,
    mailbox: Mailbox,
    language: str,
    subject: str,
    words: str,
) -> None:
    """M2, M17: links and letters of every language stand whole in the file of a mail."""
    neighbours.identity.sign_up("kari", "Kari", language)
    holds(neighbours, valid_until=1_772_578_800_000_000_000)  # 2026-03-04T00:00 in Oslo
    event = PermissionGranted(
        installation_id="home",
        permission_id="p1",
        user_id="kari",
        roles=("USER",),
        charger_id="c1",
    )
    async with running():
        await stream.tell(1, event, at=time.time_ns())
        (mail,) = await mailbox.wait(1)
    assert mail["Subject"] == subject
    assert mailbox.recipients == [["kari@people.test"]]
    assert mail["Chargekey-About"] == "kari"
    for kind in ("plain", "html"):
        assert words in part(mail, kind)
        assert "2026-03-03" in part(mail, kind)
    link = mail["List-Unsubscribe"].strip("<>")
    assert link.startswith("https://partners.test/unsubscribe/")
    assert mailbox.raw[0].count(link.encode()) == 4


async def test_nobody_is_mailed_of_what_he_did_or_what_an_invitation_tells_him(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """M2: nor who has no account, nor of what a partner was given."""
    for user in ("kari", "ola", "local"):
        neighbours.identity.sign_up(user, user)
    neighbours.identity.users["local"].kind = users_pb2.USER_KIND_LOCAL
    holds(neighbours)
    site = {"installation_id": "home", "permission_id": "p1", "roles": ("USER",)}
    now = time.time_ns()
    async with running() as outbox:
        await stream.tell(1, GRANTED, at=now, actor="user:kari")
        await stream.tell(2, GRANTED, at=now, actor="administrator:kari")
        await stream.tell(3, PermissionGranted(**site, user_id="kari", invited=True), at=now)
        await stream.tell(4, PermissionGranted(**site, partner_id="volt"), at=now)
        await stream.tell(5, PermissionGranted(**site, user_id="local"), at=now)
        # Years ago, as a new version reads it in the stream.
        await stream.tell(6, PermissionGranted(**site, user_id="ola"))
        await handled(outbox, "permission-granted", 6)
        await stream.tell(7, PermissionGranted(**site, user_id="ola"), at=now)
        await mailbox.wait(1)
        await settled(outbox)
    assert mailbox.recipients == [["ola@people.test"]]


async def test_who_loses_access_is_told_unless_it_came_back_or_he_left(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """M3."""
    neighbours.identity.sign_up("kari", "Kari")
    holds(neighbours, "again")
    now = time.time_ns()
    async with running() as outbox:
        for number, (permission_id, actor) in enumerate(
            [
                ("again", "user:ola"),
                ("left", "user:kari"),
                ("left", "administrator:kari"),
                ("taken", "user:ola"),
            ],
            start=1,
        ):
            event = PermissionRevoked(
                installation_id="home", permission_id=permission_id, user_id="kari"
            )
            await stream.tell(number, event, at=now, actor=actor)
        await handled(outbox, "permission-revoked", 4)
    (mail,) = mailbox.mails
    assert mail["Subject"] == "Your access to charging was taken away"
    assert mail["List-Unsubscribe"] is None


async def test_a_permission_that_changes_often_is_told_of_once_an_hour_as_it_is_then(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """M10."""
    neighbours.identity.sign_up("kari", "Kari")
    holds(neighbours)
    now = time.time_ns() // 1000 * 1000  # as events tell it
    changed = PermissionChanged(
        installation_id="home", permission_id="p1", user_id="kari", roles=("USER",)
    )
    async with running() as outbox:
        for number in range(1, 6):
            await stream.tell(number, changed, at=now)
            await handled(outbox, "permission-changed", number)
        assert subjects(mailbox.mails) == ["Your access to charging was changed"]
        assert outbox.waiting() == 1
        (later,) = outbox.due(now=now + 2 * HOUR)
        assert later.due == now + HOUR


async def test_wrong_pins_are_told_to_every_owner_once_an_hour_a_charger(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """M4, M10: as the gateway tells it, and also when it tells it again."""
    for user in ("kari", "ola", "nobody"):
        neighbours.identity.sign_up(user, user)
    neighbours.identity.users["nobody"].kind = users_pb2.USER_KIND_PENDING
    neighbours.owners.owners = ["kari", "nobody", "ola"]
    now = time.time_ns()
    locked = PinLockedOut(charger_id="c1", installation_id="home", until=now)
    site = PinLockedOutAtInstallation(installation_id="home", until=now)
    async with running() as outbox:
        for told in (0, 4):
            for number in (1, 2, 3):
                await stream.tell(number, locked, at=now + number)
            await stream.tell(4, site, at=now)
            await handled(outbox, "pin-locked-out", told + 3)
            await handled(outbox, "pin-locked-out-at-installation", told + 4)
    found = sorted(mail["To"] for mail in mailbox.mails)
    assert found == ["kari@people.test"] * 2 + ["ola@people.test"] * 2
    pages = {
        ("the charger CP-1 at Home" in text(mail), link)
        for mail in mailbox.mails
        for link in text(mail).splitlines()
        if link.startswith("https://charge.test")
    }
    assert pages == {
        (True, "https://charge.test/chargers/c1"),
        (False, "https://charge.test/installations/home"),
    }


async def test_a_request_for_access_is_told_to_the_owners_and_its_answer_to_who_asked(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """M5."""
    for user in ("kari", "ola"):
        neighbours.identity.sign_up(user, user.title())
    neighbours.owners.owners = ["ola"]
    asked = neighbours.access_requests.asked
    asked.user_id, asked.state, asked.roles[:] = "kari", WAITING, [permissions_pb2.ROLE_USER]
    now = time.time_ns()
    event = AccessRequested(
        access_request_id="r1",
        user_id="kari",
        installation_id="home",
        roles=("USER",),
        expires_at=now,
    )
    async with running() as outbox:
        await stream.tell(1, event, at=now)
        await mailbox.wait(1)
        asked.state = access_requests_pb2.ACCESS_REQUEST_STATE_DENIED
        # Asked once more, and answered before the mail could go out.
        await stream.tell(2, event, at=now - 2 * HOUR)
        await handled(outbox, "access-requested", 2)
        denied = AccessRequestDenied(access_request_id="r1", installation_id="home")
        await stream.tell(3, denied, at=now)
        await mailbox.wait(2)
        # What he was given tells him.
        approved = AccessRequestApproved(
            access_request_id="r1", installation_id="home", permission_id="p1"
        )
        await stream.tell(4, approved, at=now)
        await handled(outbox, "access-request-approved", 4)
    assert subjects(mailbox.mails) == [
        "Somebody asks for access to Home",
        "Your request for access was denied",
    ]
    assert mailbox.recipients == [["ola@people.test"], ["kari@people.test"]]
    assert mailbox.mails[0]["Chargekey-About"] == "ola kari"
    assert "Kari Berg asks for access to Home, to: charge." in text(mailbox.mails[0])
    there = "https://charge.test/installations/home/access-requests"
    assert there in text(mailbox.mails[0]).splitlines()


async def test_who_manages_a_partner_hears_of_its_requests(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """M5."""
    for user in ("manager", "member", "other-manager"):
        neighbours.identity.sign_up(user, user)
    neighbours.access_requests.asked.partner_id = "volt"
    neighbours.access_requests.asked.partner_name = "Volt AS"
    approved = AccessRequestApproved(
        access_request_id="r1", installation_id="home", permission_id="p1"
    )
    async with running() as outbox:
        await stream.tell(1, approved, at=time.time_ns())
        await mailbox.wait(2)
        await settled(outbox)
    assert sorted(mailbox.recipients) == [["manager@people.test"], ["other-manager@people.test"]]
    assert "Home has approved the request of Volt AS" in text(mailbox.mails[0])
    assert "https://charge.test/partners/volt/permissions" in text(mailbox.mails[0]).splitlines()


async def test_a_new_owner_is_told_to_the_other_owners(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """M6: whom that names, has it told, too, who forgets mails by their header."""
    for user in ("kari", "ola", "per"):
        neighbours.identity.sign_up(user, user.title())
    neighbours.owners.owners = ["kari", "ola"]
    now = time.time_ns()
    async with running() as outbox:
        await stream.tell(1, OwnerAdded(installation_id="home", user_id="kari"), at=now)
        await mailbox.wait(1)
        assert mailbox.mails[0]["Subject"] == "Home has one more owner"
        assert mailbox.mails[0]["To"] == "ola@people.test"
        assert mailbox.mails[0]["Chargekey-About"] == "ola kari"
        event = OwnershipTransferred(installation_id="home", from_user_id="per", to_user_id="kari")
        await stream.tell(2, event, at=now)
        await mailbox.wait(4)
        # Taken away again before it could be told.
        await stream.tell(3, OwnerAdded(installation_id="home", user_id="per"), at=now)
        await handled(outbox, "owner-added", 3)
    told = {mail["To"]: mail["Subject"] for mail in mailbox.mails[1:]}
    assert told == {
        "kari@people.test": "You own Home now",
        "per@people.test": "Home has a new owner",
        "ola@people.test": "Home has one more owner",
    }


async def test_an_owner_by_his_address_is_told_of_once_he_has_accepted(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """M6: until then nobody knows whether there is such a person."""
    for user in ("kari", "ola"):
        neighbours.identity.sign_up(user, user.title())
    neighbours.owners.owners = ["kari", "ola"]
    now = time.time_ns()
    async with running() as outbox:
        added = OwnerAdded(installation_id="home", user_id="kari", invited=True)
        await stream.tell(1, added, at=now)
        await handled(outbox, "owner-added", 1)
        await settled(outbox)
        assert mailbox.mails == []
        await stream.tell(2, OwnerAccepted(installation_id="home", user_id="kari"), at=now)
        await mailbox.wait(1)
        await handled(outbox, "owner-accepted", 2)
        await settled(outbox)
    (mail,) = mailbox.mails
    assert (mail["To"], mail["Subject"]) == ("ola@people.test", "Home has one more owner")


async def test_who_is_offered_a_site_by_his_id_is_told_and_by_his_address_invited(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """M6."""
    for user in ("kari", "ola", "per"):
        neighbours.identity.sign_up(user, user)
    neighbours.access.offered_to = "kari"
    site = {"installation_id": "home", "from_user_id": "eva"}
    now = time.time_ns()
    async with running() as outbox:
        await stream.tell(1, OwnershipOffered(**site, to_user_id="ola", invited=True), at=now)
        await stream.tell(2, OwnershipOffered(**site, to_user_id="per"), at=now)
        await stream.tell(3, OwnershipOffered(**site, to_user_id="kari"), at=now)
        await mailbox.wait(1)
        await handled(outbox, "ownership-offered", 3)
    assert mailbox.recipients == [["kari@people.test"]]
    assert "chargekey installation accept home" in text(mailbox.mails[0])
    assert "https://charge.test/profile/ownership/home" in text(mailbox.mails[0]).splitlines()


async def test_who_is_blocked_at_a_site_is_told_and_not_by_whom(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """M7."""
    for user in ("kari", "ola"):
        neighbours.identity.sign_up(user, user)
    neighbours.owners.blocked = ["kari"]
    now = time.time_ns()
    async with running() as outbox:
        for number, user in enumerate(("ola", "kari"), start=1):
            event = UserBlockedAtInstallation(installation_id="home", user_id=user)
            await stream.tell(number, event, at=now, actor="user:eva")
        await handled(outbox, "user-blocked-at-installation", 2)
    (mail,) = mailbox.mails
    assert mail["Subject"] == "You cannot charge at a site for now"
    assert "eva" not in mailbox.raw[0].decode()


async def test_the_end_of_a_permission_is_told_a_week_and_a_day_before(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """M8: by whatever events it is told, and only where it still ends then."""
    neighbours.identity.sign_up("kari", "Kari")
    now = time.time_ns()
    ends: Mapping[str, int] = {
        "in-a-week": now + 7 * DAY - HOUR,
        "tomorrow": now + DAY - HOUR,
        "later": now + 8 * DAY,
        "moved": now + 7 * DAY - HOUR,
        "over": now - HOUR,
    }
    for permission_id, end in ends.items():
        holds(neighbours, permission_id, end)
    holds(neighbours, "moved", now + 100 * DAY)
    site = {"installation_id": "home", "user_id": "kari", "roles": ("USER",)}
    async with running() as outbox:
        given = enumerate(ends.items(), start=1)
        for number, (permission_id, end) in given:
            event = PermissionGranted(
                **site, permission_id=permission_id, valid_until=end, invited=True
            )
            await stream.tell(number, event, at=now - 30 * DAY)
        changed = PermissionChanged(
            **site, permission_id="in-a-week", valid_until=ends["in-a-week"]
        )
        await stream.tell(6, changed, at=now - 29 * DAY)
        await handled(outbox, "permission-granted", 5)
        await handled(outbox, "permission-changed", 6)
        # Those of tomorrow, of a week from now, and one of each that is not due.
        assert outbox.waiting() == 4
    assert len(mailbox.mails) == 2
    assert all("ends after" in mail["Subject"] for mail in mailbox.mails)
    assert "List-Unsubscribe=One-Click" in {m["List-Unsubscribe-Post"] for m in mailbox.mails}


@pytest.mark.usefixtures("stream")
async def test_who_could_not_be_reminded_for_a_week_is_reminded_once(
    running: Running, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """M8: both reminders are due when the notifier is back."""
    neighbours.identity.sign_up("kari", "Kari")
    now = time.time_ns()
    end = now + DAY - HOUR
    holds(neighbours, valid_until=end)
    async with running() as outbox:
        mails = [
            Mail(
                "week",
                "user:kari",
                "permission_ends",
                "kari",
                now,
                "home",
                None,
                "p1",
                end,
                None,
                due,
            )
            for due in (now - 3 * DAY, now)
        ]
        mails[1] = msgspec.structs.replace(mails[1], event_id="day")
        position = Position("access", "00000000000000a1", 1)
        await asyncio.to_thread(
            outbox.add, Handled("notifier-on-permission-granted", position), *mails
        )
        await settled(outbox)
    assert len(mailbox.mails) == 1


async def test_the_end_of_a_card_is_told_to_its_user(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """M8."""
    neighbours.identity.sign_up("kari", "Kari")
    now = time.time_ns()
    end = now + DAY - HOUR
    pb = identifications_pb2
    neighbours.identifications.held["i1"] = pb.Identification(
        id="i1", user_id="kari", type=pb.IDENTIFICATION_TYPE_RFID, valid_until=end
    )
    card = {"user_id": "kari", "type": "RFID", "status": "ACTIVE"}
    async with running() as outbox:
        for number, key in enumerate(("removed", "i1"), start=1):
            event = IdentificationAdded(**card, identification_id=key, valid_until=end)
            await stream.tell(number, event, at=now - 3 * DAY)
        changed = IdentificationExpiryChanged(
            user_id="kari", identification_id="i1", valid_until=end
        )
        await stream.tell(3, changed, at=now - 2 * DAY)
        await handled(outbox, "identification-added", 2)
        await handled(outbox, "identification-expiry-changed", 3)
    (mail,) = mailbox.mails
    assert mail["Subject"].startswith("Your charge card stops working after 20")


async def test_what_was_given_for_shorter_is_not_told_to_end_when_it_is_given(
    running: Running, stream: IdentityStream
) -> None:
    """M8."""
    now = time.time_ns()
    event = PermissionGranted(
        installation_id="home",
        permission_id="p1",
        user_id="kari",
        roles=("USER",),
        valid_until=now + 3 * DAY,
        invited=True,
    )
    async with running() as outbox:
        await stream.tell(1, event, at=now)
        await handled(outbox, "permission-granted", 1)
        (reminder,) = outbox.due(now=now + 4 * DAY)
    assert reminder.due == now + 2 * DAY


async def test_declined_mails_are_not_sent_and_those_that_are_needed_are(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """M9: and whoever is erased has declined nothing any more (R20)."""
    neighbours.identity.sign_up("kari", "Kari")
    holds(neighbours)
    now = time.time_ns()
    async with running() as outbox:
        choices = Choices(outbox, SECRET)
        choices.decline("kari", "permissions")
        await stream.tell(1, GRANTED, at=now)
        await handled(outbox, "permission-granted", 1)
        gone = PermissionRevoked(installation_id="home", permission_id="gone", user_id="kari")
        await stream.tell(2, gone, at=now)
        await mailbox.wait(1)
        await stream.tell(3, UserErased(user_id="kari"), at=now)
        await until(lambda: not choices.declined("kari"))
    assert subjects(mailbox.mails) == ["Your access to charging was taken away"]


async def test_every_mail_comes_once_however_often_a_bus_tells_of_it(
    running: Running,
    stream: IdentityStream,
    neighbours: Neighbours,
    mailbox: Mailbox,
    nats_client: Client,
) -> None:
    """M11."""
    for user in ("kari", "ola"):
        neighbours.identity.sign_up(user, user)
    holds(neighbours)
    neighbours.owners.owners = ["kari", "ola"]
    events: list[PublishedEvent] = [GRANTED, OwnerAdded(installation_id="home", user_id="kari")]
    now = time.time_ns()
    again = IdentityStream(nats_client, generation="00000000000000b2")
    async with running() as outbox:
        for each in (stream, again):
            for number, event in enumerate(events, start=1):
                await each.tell(number, event, at=now)
        sentinel = PermissionGranted(
            installation_id="home", permission_id="p1", user_id="ola", roles=("USER",)
        )
        await again.tell(3, sentinel, at=now)
        await again.tell(4, OwnerAdded(installation_id="home", user_id="per"), at=now)
        await handled(outbox, "permission-granted", 3)
        await handled(outbox, "owner-added", 4)
    assert sorted((mail["To"], mail["Subject"]) for mail in mailbox.mails) == [
        ("kari@people.test", "You were given access to charging"),
        ("ola@people.test", "Home has one more owner"),
        ("ola@people.test", "You were given access to charging"),
    ]
