"""Identity as a process: settings, wiring, run."""

from __future__ import annotations

import asyncio
from functools import partial

import httpx2

from chargekey_common import jetstream, process
from chargekey_common.accounts import Signer, Verifier
from chargekey_common.attempts import Attempts
from chargekey_common.audit import service as audit
from chargekey_common.eventstore.store import EventStore
from chargekey_common.grpc.client import RemoteCheck, channel
from chargekey_common.grpc.server import Server
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.leadership import lead
from chargekey_common.process import Lifetime
from chargekey_common.reactions import Reactions
from chargekey_common.relay import Relay
from chargekey_common.settings import load, migration
from chargekey_common.telemetry import HealthServer, Readiness, configure_logging
from chargekey_common.tokens import KeySet
from chargekey_identity.api import (
    credentials,
    identifications,
    invitations,
    people,
    scans,
    sign_in,
    users,
)
from chargekey_identity.api import (
    privacy as privacy_api,
)
from chargekey_identity.api.access import Access
from chargekey_identity.application.addresses import Addresses
from chargekey_identity.application.arrivals import Arrivals
from chargekey_identity.application.credentials import Credentials
from chargekey_identity.application.identifications import Identifications
from chargekey_identity.application.invitations import Invitations
from chargekey_identity.application.openid_sign_in import OpenIdSignIn
from chargekey_identity.application.people import People
from chargekey_identity.application.privacy import Privacy
from chargekey_identity.application.scans import Scans
from chargekey_identity.application.sign_in import SignIns
from chargekey_identity.application.sign_in_links import SignInLinks
from chargekey_identity.application.users import Users
from chargekey_identity.domain.email import Reservations
from chargekey_identity.domain.events import EVENTS
from chargekey_identity.domain.links import Links
from chargekey_identity.domain.secret import Secrets
from chargekey_identity.keyring import KeyRing
from chargekey_identity.ledger import Ledger
from chargekey_identity.openid_provider import Client, OpenIdProvider
from chargekey_identity.openid_states import OpenIdStates
from chargekey_identity.projections.directory import Directory
from chargekey_identity.published import publication
from chargekey_identity.reactions.on_ownership_offer_withdrawn import on_ownership_offer_withdrawn
from chargekey_identity.reactions.on_ownership_offered import on_ownership_offered
from chargekey_identity.reactions.on_partner_member_added import on_partner_member_added
from chargekey_identity.reactions.on_partner_member_removed import on_partner_member_removed
from chargekey_identity.reactions.on_permission_granted import on_permission_granted
from chargekey_identity.reactions.on_permission_revoked import on_permission_revoked
from chargekey_identity.reactions.on_user_forgotten import on_user_forgotten
from chargekey_identity.refresh_tokens import RefreshTokens
from chargekey_identity.scan_store import ScanStore
from chargekey_identity.settings import IdentitySettings
from chargekey_identity.signing_keys import SigningKeys


async def start(lifetime: Lifetime) -> None:
    """Open the store and serve once the ledger of erasures was read; access may come later."""
    settings = load(IdentitySettings)
    configure_logging("identity", settings.log_level)
    master = settings.master_key_file.read_bytes()
    keyring = KeyRing(settings.tables("identity-keys.db"), master)
    lifetime.closing.callback(keyring.close)
    where = settings.tables("identity.db")
    store = EventStore("identity", where, EVENTS, keyring)
    lifetime.closing.callback(store.close)
    keyed_id_secret = settings.keyed_id_secret_file.read_bytes()
    keyed_ids, reservations = KeyedIds(keyed_id_secret), Reservations(keyed_id_secret)
    signing_keys = SigningKeys(settings.tables("identity-signing-keys.db"), master)
    lifetime.closing.callback(signing_keys.close)
    signed_in = settings.tables("identity-sign-ins.db")
    refresh_tokens = RefreshTokens(signed_in, master)
    lifetime.closing.callback(refresh_tokens.close)
    openid_states = OpenIdStates(signed_in, master)
    lifetime.closing.callback(openid_states.close)
    attempts = Attempts(signed_in)
    lifetime.closing.callback(attempts.close)
    presented = ScanStore(settings.tables("identity-scans.db"), master)
    lifetime.closing.callback(presented.close)

    to_access = channel(settings.access_address, Signer.from_file(settings.account_key_file))
    lifetime.closing.push_async_callback(to_access.close)
    directory, access = Directory(store), Access(to_access)
    cards, addresses = Identifications(store, keyed_ids), Addresses(store, reservations)
    scanning = Scans(store, presented, cards)
    arrivals = Arrivals(store, directory, cards)
    links = Links(master)
    inviting = Invitations(store, directory, links, arrivals)
    sign_in_links = SignInLinks(store, directory, reservations, links, arrivals, attempts)
    sign_ins = SignIns(store, signing_keys, refresh_tokens)
    provider = await _openid_provider(settings, lifetime)
    openid = OpenIdSignIn(
        provider, settings.openid_redirect_uris, openid_states, addresses, arrivals, attempts
    )
    secrets = Secrets(master, b"identity-partner")
    privacy = Privacy(store, keyring, [refresh_tokens.forget, presented.forget_user])
    server = Server(
        users.service(Users(store), addresses, directory, access),
        Verifier(settings.accounts, KeySet(partial(asyncio.to_thread, signing_keys.jwks))),
        RemoteCheck(to_access),
        identifications.service(cards, directory, access),
        scans.service(scanning, directory, access),
        invitations.service(inviting, sign_ins, directory, access),
        sign_in.service(sign_ins, sign_in_links, openid, signing_keys),
        credentials.service(Credentials(store, secrets, signing_keys, attempts), directory, access),
        privacy_api.service(privacy, access),
        people.service(People(store, addresses, cards), directory, access),
        audit.service(store, publication, settings),
    )
    health = HealthServer(lambda: Readiness(ready=server.serving))
    await lifetime.serve(health, settings.health_address)
    client = await jetstream.connect(settings.nats_url, "identity", token=settings.nats_token)
    lifetime.closing.push_async_callback(jetstream.close, client)
    # Whoever was erased is so in a database that was restored, too, before anybody asks.
    ledger = Ledger(client, keyring)
    await asyncio.to_thread(privacy.finish, await ledger.read())
    lifetime.own(ledger.run(), "ledger")
    await lifetime.serve(server, settings.grpc_address)
    lifetime.own(scanning.run(), "deletion of old codes")
    lifetime.own(lead(where, "relay", Relay(client, store, publication).run), "relay")
    reactions = Reactions(
        "identity",
        settings.nats_url,
        settings.nats_token,
        store,
        on_permission_granted(inviting, access.permission_stands),
        on_permission_revoked(inviting),
        on_partner_member_added(inviting),
        on_partner_member_removed(inviting),
        on_ownership_offered(inviting),
        on_ownership_offer_withdrawn(inviting),
        on_user_forgotten(privacy),
    )
    lifetime.own(reactions.run(), "reactions")
    await server.ready()


async def _openid_provider(settings: IdentitySettings, lifetime: Lifetime) -> OpenIdProvider | None:
    if settings.openid_issuer is None:
        return None
    file = settings.openid_client_secret_file
    secret = "" if file is None else file.read_text().strip()
    http = await lifetime.closing.enter_async_context(httpx2.AsyncClient())
    return OpenIdProvider(Client(settings.openid_issuer, settings.openid_client_id, secret), http)


def main() -> None:
    """Run until told to stop, or make the tables."""
    makers = (
        EventStore.migrate,
        KeyRing.migrate,
        SigningKeys.migrate,
        RefreshTokens.migrate,
        OpenIdStates.migrate,
        Attempts.migrate,
        ScanStore.migrate,
    )
    process.main(start, migrate=migration(IdentitySettings, *makers))
