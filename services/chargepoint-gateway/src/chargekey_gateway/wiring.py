"""What the gateway serves, and whom it asks, put together."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping, Sequence

import nats.errors
import structlog
from grpc import aio
from nats.js.errors import NotFoundError as NothingThereError

from chargekey_common.accounts import Signer
from chargekey_common.certificates import Certificates
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.errors import CannotRunError
from chargekey_common.grpc.client import channel
from chargekey_common.grpc.server import Service
from chargekey_common.jetstream import RETRY, StreamClient
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.outgoing import Outgoing
from chargekey_common.process import Lifetime
from chargekey_gateway.api import commands, convergence, decisions, operators
from chargekey_gateway.api import service as gateway_service
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.app_codes import AppCodes
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.kept_sessions import KeptSessions
from chargekey_gateway.ocpp import profiles
from chargekey_gateway.operators.asking import AskingOperators
from chargekey_gateway.operators.endpoints import Endpoints
from chargekey_gateway.operators.last_known import AnswerKeys, LastKnown
from chargekey_gateway.reading import Reading
from chargekey_gateway.reconcile.codes import IdentityCodes
from chargekey_gateway.registry import Registry
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.sessions.stream import STREAM as SESSIONS
from chargekey_gateway.settings import GatewaySettings
from chargekey_gateway.snapshots import Place, Snapshot, Snapshots, Told, read
from chargekey_gateway.streams import keep_streams
from chargekey_gateway.unknown_codes import UnknownCodes
from chargekey_gateway.view.view import View

log = structlog.get_logger()


def services(gateway: Gateway, chargers: OcppServer, identity: aio.Channel) -> Sequence[Service]:
    """Return what is served by gRPC."""
    return (
        gateway_service.service(gateway, chargers),
        commands.service(gateway, chargers, AppCodes(identity)),
        operators.service(gateway, chargers),
        decisions.service(gateway),
        convergence.service(gateway, chargers),
    )


async def ask_operators(
    lifetime: Lifetime,
    settings: GatewaySettings,
    client: StreamClient,
    access: aio.Channel,
    view: View,
) -> tuple[AskingOperators, LastKnown]:
    """Return what asks the operators of managed sites, and remembers what they said last."""
    outgoing = Outgoing(deadline=settings.operator_deadline, anywhere=settings.operators_anywhere)
    await lifetime.closing.enter_async_context(outgoing)
    endpoints = Endpoints(access)
    view.on_endpoint_change(endpoints.changed)
    view.on_mended(endpoints.all_changed)
    lifetime.own(endpoints.run(), "decision endpoints")
    last_known = LastKnown(client, clock=time.time_ns)
    lifetime.own(last_known.run(), "last known answers")
    lifetime.closing.push_async_callback(last_known.tell_the_rest)
    asking = AskingOperators(
        endpoint=endpoints.of,
        sender=outgoing,
        keys=AnswerKeys(settings.keyed_id_secret_file.read_bytes()),
        last_known=last_known,
        clock=time.time_ns,
        deadline=settings.operator_deadline,
    )
    return asking, last_known


def others(
    lifetime: Lifetime, settings: GatewaySettings, certificates: Certificates | None
) -> tuple[aio.Channel, aio.Channel]:
    """Return the ways to access and to identity."""
    signer = Signer.from_file(settings.account_key_file)
    access = channel(settings.access_address, signer, certificates)
    lifetime.closing.push_async_callback(access.close)
    identity = channel(settings.identity_address, signer, certificates)
    lifetime.closing.push_async_callback(identity.close)
    return access, identity


async def restored(settings: GatewaySettings, view: View) -> Snapshot | None:
    """Let the view be what the file says, where there is one; return what else it says."""
    if settings.snapshot_file is None:
        return None
    snapshot = await asyncio.to_thread(read, settings.snapshot_file)
    if snapshot is not None:
        view.restore(snapshot.view)
        log.info("view_restored", positions=view.positions)
    return snapshot


def snapshots(
    settings: GatewaySettings,
    view: View,
    places: Callable[[], Mapping[str, Place]],
    told: Callable[[], Told | None],
    client: StreamClient,
) -> Snapshots | None:
    """Return what writes all that to its file, where there is to be one, and has it shared."""
    if settings.snapshot_file is None:
        return None
    return Snapshots(
        settings.snapshot_file,
        view,
        places,
        settings.snapshot_interval,
        told,
        KeptSessions(client),
    )


async def reads_on(client: StreamClient, stream: str, place: Place | None) -> bool:
    """Whether the stream is still the one that was read so far, and whole."""
    js = client.jetstream()
    while True:
        try:
            info = await js.stream_info(stream)
        except NothingThereError:
            return False
        except (nats.errors.Error, OSError) as error:
            log.info("stream_unknown", stream=stream, error=type(error).__name__)
            await asyncio.sleep(RETRY)
        else:
            return place is not None and place.is_in(info)


async def remembered(
    client: StreamClient, gateway: Gateway, snapshot: Snapshot | None
) -> Mapping[str, Place]:
    """Have the gateway know what SESSIONS has told, by its file or the bus, whichever is newer.

    Return behind which places the streams are to be read.
    """
    places = {} if snapshot is None else dict(snapshot.places)
    told = None if snapshot is None else snapshot.told
    # Of a stream that was lost only its numbers count, which are not given again.
    last_known = 0 if told is None else told.sessions.last_known
    place = places.pop(SESSIONS, None)
    if told is None or not await reads_on(client, SESSIONS, place):
        told = place = None
    newer = await KeptSessions(client).get(place)
    if newer is not None:
        place, told = newer
    if told is not None and place is not None:
        gateway.remember(told)
        places[SESSIONS] = place
    gateway.running.last_known = max(gateway.running.last_known, last_known)
    return places


async def begin(
    lifetime: Lifetime,
    settings: GatewaySettings,
    client: StreamClient,
    access: aio.Channel,
    identity: aio.Channel,
    view: View,
    snapshot: Snapshot | None,
) -> tuple[Gateway, Reading]:
    """Return the gateway, at work, and the reading of the streams, begun behind `snapshot`."""
    unknown_codes = UnknownCodes(identity)
    lifetime.own(unknown_codes.run(), "unknown codes")
    running = RunningSessions()
    keyed_id_secret = settings.keyed_id_secret_file.read_bytes()
    asking, answers = await ask_operators(lifetime, settings, client, access, view)
    gateway = Gateway(
        client,
        view=view,
        running=running,
        keyed_ids=KeyedIds(keyed_id_secret),
        start_keys=StartKeys(keyed_id_secret),
        passwords=ChargerPasswords(settings.charger_password_secret_file.read_bytes()),
        unknown=unknown_codes.report,
        clock=time.time_ns,
        operators=asking,
        codes=IdentityCodes(identity),
    )
    places = await remembered(client, gateway, snapshot)
    lifetime.own(
        keep_streams(
            client,
            gateway.journal,
            gateway.lockouts,
            answers,
            gateway.confirmed,
            gateway.remote_starts,
            replicas=settings.stream_replicas,
        ),
        "streams",
    )
    lifetime.own(gateway.run(), "gateway")
    lifetime.own(gateway.lockouts.run(), "lockouts")
    lifetime.own(gateway.confirmed.run(), "confirmed")
    lifetime.own(gateway.remote_starts.run(), "remote starts")
    lifetime.closing.push_async_callback(gateway.tell_the_rest)
    reading = Reading(
        client,
        view,
        running,
        gateway.lockouts,
        answers,
        gateway.confirmed,
        gateway.remote_starts,
        places,
    )
    reading.begin(lifetime)
    return gateway, reading


def ocpp_server(
    lifetime: Lifetime, settings: GatewaySettings, gateway: Gateway, client: StreamClient
) -> OcppServer:
    """Return what chargers connect to, known to the other replicas; nobody is let in yet."""
    registry = Registry(client, patience=settings.displacement_timeout)
    lifetime.own(registry.run(), "registry")
    chargers = OcppServer(
        gateway, limits=settings.limits, profiles=settings.profiles, registry=registry
    )
    gateway.view.on_password_change(chargers.passwords_changed)
    return chargers


async def let_chargers_in(
    lifetime: Lifetime, settings: GatewaySettings, chargers: OcppServer
) -> None:
    """Listen where the security profiles that are allowed have chargers come."""
    allowed, files = settings.profiles.allowed, settings.ocpp_certificate_files
    if profiles.NONE in allowed:
        log.warning("security_profile_0", meaning="whoever knows a charger's identity is let in")
    lifetime.closing.push_async_callback(chargers.stop, spread=settings.closing_spread)
    if files is not None and settings.ocpp_tls_address is not None:
        try:
            certificates = files.renewed()
        except (ssl.SSLError, ValueError) as error:
            message = "The certificate, key or CA of CHARGEKEY_GATEWAY_OCPP_TLS_… is unusable."
            raise CannotRunError(message) from error
        await chargers.start_tls(settings.ocpp_tls_address, certificates)
    if allowed & profiles.PLAIN:
        await chargers.start(settings.ocpp_address)
