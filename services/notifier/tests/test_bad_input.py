"""Every method of the notifier with what it may not be sent: refused by name, nothing stored."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import msgspec
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from grpc import aio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chargekey.access.v1 import partners_pb2, partners_pb2_grpc
from chargekey.notifier.v1 import feeds_pb2, mails_pb2, ocpi_pb2, webhooks_pb2
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.errors import NotFoundError, PermissionDeniedError
from chargekey_common.eventstore.store import Context
from chargekey_common.grpc.server import Service
from chargekey_common.http_server import HttpServer
from chargekey_common.outgoing import Outgoing
from chargekey_common.pages import token_of
from chargekey_common.process import Lifetime
from chargekey_common.published.feed import AuthorisationRequiredSet, sequence_of
from chargekey_common.testing.bad_input import (
    COMMAND_ID,
    INVALID,
    MISSING,
    STRANGE,
    UNKNOWN_IDS,
    Bad,
    Changes,
    Door,
    Fields,
    any_changes,
    assert_a_stranger_learns_nothing,
    assert_each_is_served,
    assert_every_bad_value_is_refused,
    assert_no_message_is_refused,
    assert_nothing_is_an_internal_error,
    bad,
    methods,
)
from chargekey_common.testing.grpc import served
from chargekey_notifier.api import feeds as feed_service
from chargekey_notifier.api import mails as mail_service
from chargekey_notifier.api import ocpi as ocpi_service
from chargekey_notifier.api import webhooks as webhook_service
from chargekey_notifier.api.partners import Partners
from chargekey_notifier.feeds.store import Feeds, Telling
from chargekey_notifier.http.app import app
from chargekey_notifier.mails.choices import Choices
from chargekey_notifier.mails.outbox import Outbox
from chargekey_notifier.mails.unsubscribing import Unsubscribing
from chargekey_notifier.ocpi import tables
from chargekey_notifier.ocpi.messages import Party
from chargekey_notifier.ocpi.together import Ocpi
from chargekey_notifier.webhooks.store import Webhooks

from .ocpi.msp import Msp

pytestmark = pytest.mark.asyncio(loop_scope="module")

VOLT = "volt"
WATT = "watt"  # connected by OCPI
SECRET = b"s" * 32
SERVICES = (
    feeds_pb2.DESCRIPTOR.services_by_name["FeedService"],
    webhooks_pb2.DESCRIPTOR.services_by_name["WebhookService"],
    mails_pb2.DESCRIPTOR.services_by_name["MailService"],
    ocpi_pb2.DESCRIPTOR.services_by_name["OcpiService"],
)
METHODS = [name for each in SERVICES for name in methods(each)]
NO_NAMES = bad(INVALID, "event_unknown", ["sessionstarted"], [""], *([each] for each in STRANGE))
FIELDS: Fields = {
    "command_id": COMMAND_ID,
    "partner_id": bad(MISSING, "partner_unknown", *UNKNOWN_IDS),
    # Access says of whom somebody may ask; of nobody, who may everything asks nothing.
    "user_id": (),
    "declined": bad(
        INVALID, "mail_choice_unknown", ["Reminders"], [""], *([each] for each in STRANGE)
    ),
    "versions_url": bad(
        INVALID,
        "ocpi_url_malformed",
        "",
        "nowhere at all",
        "ftp://watt.example/",
        "https://watt.example/" + "x" * 255,
        *STRANGE,
    ),
    # Nothing is kept of it: to fetch twice is to fetch.
    "PullOcpiTokens.command_id": (),
    "ConnectOcpi.token": bad(
        INVALID,
        "ocpi_token_malformed",
        "",
        "nine\n",
        "\u00e9",
        "x" * 65,
        *STRANGE[:4],
        STRANGE[-1],
    ),
    "token": bad(MISSING, "unsubscribe_link_invalid", "", "x", "A" * 100, *STRANGE),
    "webhook_id": bad(MISSING, "webhook_unknown", *UNKNOWN_IDS),
    "url": bad(
        INVALID,
        "url_malformed",
        "",
        "nowhere at all",
        "https:watt.example/",
        "http://watt.example/",
        "https://a:s3cr3t@watt.example/",
        "https://watt.example/#s3cr3t",
        "https://watt.example:65536/",
        "https://volt.example/" + "x" * 500,
        *STRANGE,
    ),
    "CreateWebhook.events": NO_NAMES,
    "ChangeWebhook.events": [
        Bad(webhooks_pb2.EventNames(names=each.value), each.status, each.code) for each in NO_NAMES
    ],
    "enabled": (),
    "after": [
        *bad(INVALID, "cursor_malformed", "1", "x" * 20, "-" + "0" * 19, sequence_of(2**63)),
        *bad(grpc.StatusCode.FAILED_PRECONDITION, "cursor_ahead", sequence_of(2)),
        *bad(INVALID, "cursor_malformed", *STRANGE),
    ],
    "ReplayWebhook.after": bad(
        INVALID, "cursor_malformed", "1", sequence_of(2), sequence_of(2**63), *STRANGE
    ),
    "limit": bad(INVALID, "limit_malformed", -1, 1001, 2**31 - 1),
    "page_size": bad(INVALID, "page_size_malformed", -1, -(2**31)),
    "page_token": bad(
        INVALID,
        "page_token_malformed",
        "nonsense",
        "====",
        *map(token_of, ("x", "-1", "1.5", "٣", str(2**63), "1" * 100)),
        *STRANGE,
    ),
}


class PartnerUnknownError(NotFoundError):
    code = "partner_unknown"
    sentence = "There is no such partner."


class Access(partners_pb2_grpc.PartnerServiceServicer):
    """Knows two operators."""

    async def GetPartner(
        self, request: partners_pb2.GetPartnerRequest, _: aio.ServicerContext[object, object]
    ) -> partners_pb2.GetPartnerResponse:
        if request.partner_id not in {VOLT, WATT}:
            raise PartnerUnknownError
        kind = partners_pb2.PARTNER_KIND_PAYMENT_OPERATOR
        partner = partners_pb2.Partner(id=request.partner_id, kind=kind)
        return partners_pb2.GetPartnerResponse(partner=partner)


class World(msgspec.Struct, frozen=True):
    """The notifier served, with a feed and a webhook, and requests that are served.

    In their order they are served one after the other, too.
    """

    webhooks: Webhooks
    ocpi: Ocpi
    administrator: Mapping[str, Door]
    stranger: Mapping[str, Door]
    good: dict[str, Message]

    def kept(self) -> Sequence[object]:
        return [*self.webhooks.of(VOLT), *self.ocpi.peers.all()]


def doors(channel: aio.Channel) -> Mapping[str, Door]:
    """Return the way in to each method."""
    return {name: Door(each, channel) for each in SERVICES for name in methods(each)}


async def only_the_administrator(caller: Caller, _: str, __: str) -> None:
    if caller != ADMINISTRATOR:
        raise PermissionDeniedError


@asynccontextmanager
async def speaking_ocpi(
    directory: Path, others: aio.Channel, msp: Msp, *, connected: bool
) -> AsyncIterator[Ocpi]:
    """Yield what answers operators, one of which is there and `connected`, or none."""
    async with AsyncExitStack() as until:
        database = tables.opened(directory / "ocpi.db")
        until.callback(database.close)
        answering = app()
        server = HttpServer(answering, "127.0.0.1:0") if connected else None
        ocpi = Ocpi(
            database,
            SECRET,
            await until.enter_async_context(Outgoing(deadline=5, anywhere=True)),
            Party(country_code="NO", party_id="CKY", name="Chargekey"),
            access=others,
            gateway=others,
            public_url=f"http://127.0.0.1:{server.port if server else 0}",
            currency="NOK",
        )
        until.push_async_callback(ocpi.commands.close)
        if server is None:
            yield ocpi
            return
        answering.router.routes.extend(ocpi.routes())
        lifetime = Lifetime()
        lifetime.own(server.run(), "http")
        lifetime.closing.push_async_callback(server.stop)
        await until.enter_async_context(msp.serving())
        try:
            await ocpi.connecting.connect(
                Context("user:ada", "connected"),
                WATT,
                versions_url=f"{msp.url}/versions",
                token=msp.called_with,
            )
            yield ocpi
        finally:
            assert await lifetime.close()


@asynccontextmanager
async def a_world(directory: Path, *, connected: bool = False) -> AsyncIterator[World]:
    feeds, webhooks = Feeds(directory / "feeds.db"), Webhooks(directory / "webhooks.db", SECRET)
    outbox = Outbox(directory / "notifier.db")
    choices, links = Choices(outbox, SECRET), Unsubscribing(SECRET, "https://here")
    msp = Msp()
    event = AuthorisationRequiredSet(installation_id="home", authorisation_required=True)
    with feeds.telling() as (_, told):
        told.append(Telling(VOLT, "e1", 1, event))
    url = "https://volt.example/hook"
    webhook_id, _ = webhooks.create(
        Context("user:ada", "made"), partner_id=VOLT, url=url, events=(), after=0
    )
    access = Service(
        "chargekey.access.v1.PartnerService",
        partners_pb2_grpc.add_PartnerServiceServicer_to_server,
        Access(),
        {"GetPartner": lambda request: f"partner:{request.partner_id}"},
    )
    pb = webhooks_pb2
    good: list[Message] = [
        feeds_pb2.GetFeedRequest(partner_id=VOLT),
        feeds_pb2.ListFeedEventsRequest(partner_id=VOLT, after=sequence_of(0), limit=10),
        pb.CreateWebhookRequest(partner_id=VOLT, url=url, events=["SessionStarted"]),
        pb.ChangeWebhookRequest(webhook_id=webhook_id, url=url, enabled=True),
        pb.RotateWebhookSecretRequest(webhook_id=webhook_id),
        pb.ListWebhooksRequest(partner_id=VOLT, page_size=2**31 - 1),
        pb.ListWebhookAttemptsRequest(webhook_id=webhook_id, page_size=2**31 - 1),
        pb.ReplayWebhookRequest(webhook_id=webhook_id, after=sequence_of(1)),
        pb.RemoveWebhookRequest(webhook_id=webhook_id),
        mails_pb2.GetMailChoicesRequest(user_id="ada"),
        mails_pb2.SetMailChoicesRequest(user_id="ada", declined=["reminders"]),
        mails_pb2.UnsubscribeRequest(token=links.url("ada", "lockouts").rpartition("/")[2]),
    ]
    async with (
        served(access, directory / "access", only_the_administrator) as to_access,
        speaking_ocpi(directory, to_access(ADMINISTRATOR), msp, connected=connected) as ocpi,
        served(
            feed_service.service(
                feeds,
                Partners(to_access(ADMINISTRATOR)),
                public_url="http://here",
                nats_url="nats://here",
            ),
            directory / "notifier",
            only_the_administrator,
            webhook_service.service(
                webhooks, feeds, Partners(to_access(ADMINISTRATOR)), anywhere=False
            ),
            mail_service.service(choices, links),
            ocpi_service.service(
                ocpi, Partners(to_access(ADMINISTRATOR)), public_url="http://here"
            ),
        ) as as_caller,
    ):
        good += [
            ocpi_pb2.OfferOcpiRequest(partner_id=VOLT),
            ocpi_pb2.ConnectOcpiRequest(
                partner_id=VOLT, versions_url=f"{msp.url}/versions", token=msp.called_with
            ),
            ocpi_pb2.GetOcpiConnectionRequest(partner_id=WATT),
            ocpi_pb2.PullOcpiTokensRequest(partner_id=WATT),
            ocpi_pb2.DisconnectOcpiRequest(partner_id=WATT),
        ]
        yield World(
            webhooks,
            ocpi,
            doors(as_caller(ADMINISTRATOR)),
            doors(as_caller(Caller("user:somebody"))),
            {each.DESCRIPTOR.name.removesuffix("Request"): each for each in good},
        )
    outbox.close()
    webhooks.close()
    feeds.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Serve one world to all tests that are refused everything, and so leave it as it was."""
    async with a_world(tmp_path_factory.mktemp("world"), connected=True) as running:
        yield running


@pytest.mark.parametrize("method", METHODS)
async def test_what_cannot_be_is_refused_by_name_without_an_echo(world: World, method: str) -> None:
    """The rest of the request is right: the next test has it served."""
    door = world.administrator[method]
    before = world.kept()
    await assert_every_bad_value_is_refused(door, world.good[method], FIELDS)
    await assert_no_message_is_refused(door, method)
    assert world.kept() == before


async def test_what_can_be_is_served(tmp_path: Path) -> None:
    async with a_world(tmp_path, connected=True) as world:
        await assert_each_is_served(world.administrator, world.good)


@pytest.mark.parametrize("method", METHODS)
async def test_a_stranger_cannot_tell_what_exists_from_what_does_not(
    world: World, method: str
) -> None:
    await assert_a_stranger_learns_nothing(world.stranger[method], world.good[method])


ANY_CHANGES = st.one_of(*(any_changes(each) for each in SERVICES))


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ANY_CHANGES, min_size=20, max_size=40))
async def test_nothing_that_can_be_sent_is_an_internal_error(
    sent: list[tuple[str, Changes]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with a_world(Path(directory)) as world:
            for method, changes in sent:
                door = world.administrator[method]
                await assert_nothing_is_an_internal_error(door, world.good, [(method, changes)])
