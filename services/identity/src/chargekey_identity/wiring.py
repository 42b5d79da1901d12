"""What gets what: the application on its storage, and what is served and heard of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from functools import partial

import httpx2

from chargekey_common.grpc.server import Service
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.reactions import On
from chargekey_common.tokens import KeySet
from chargekey_identity.api import (
    codes,
    credentials,
    identifications,
    invitations,
    people,
    privacy,
    scans,
    sign_in,
    users,
)
from chargekey_identity.api.access import Access
from chargekey_identity.application.addresses import Addresses
from chargekey_identity.application.app_codes import AppCodes
from chargekey_identity.application.arrivals import Arrivals
from chargekey_identity.application.credentials import Credentials
from chargekey_identity.application.identifications import Identifications
from chargekey_identity.application.invitations import Invitations
from chargekey_identity.application.local_lists import LocalLists
from chargekey_identity.application.openid_sign_in import OpenIdSignIn
from chargekey_identity.application.people import People
from chargekey_identity.application.privacy import Privacy
from chargekey_identity.application.scans import Scans
from chargekey_identity.application.sign_in import SignIns
from chargekey_identity.application.sign_in_links import SignInLinks
from chargekey_identity.application.users import Users
from chargekey_identity.domain.email import Reservations
from chargekey_identity.domain.links import Links
from chargekey_identity.domain.secret import Secrets
from chargekey_identity.ledger import Written
from chargekey_identity.openid_provider import Client, OpenIdProvider
from chargekey_identity.projections.directory import Directory
from chargekey_identity.reactions.on_ownership_offer_withdrawn import on_ownership_offer_withdrawn
from chargekey_identity.reactions.on_ownership_offered import on_ownership_offered
from chargekey_identity.reactions.on_partner_member_added import on_partner_member_added
from chargekey_identity.reactions.on_partner_member_removed import on_partner_member_removed
from chargekey_identity.reactions.on_permission_granted import on_permission_granted
from chargekey_identity.reactions.on_permission_revoked import on_permission_revoked
from chargekey_identity.reactions.on_user_forgotten import on_user_forgotten
from chargekey_identity.settings import IdentitySettings
from chargekey_identity.storage import Storage


class Application:
    """Everything that can be done, and asked; `keys` are those of the tokens it issues.

    `administrators` are the canonical addresses of those who may act as one.
    """

    def __init__(
        self,
        storage: Storage,
        provider: OpenIdProvider | None,
        *,
        master: bytes,
        keyed_id_secret: bytes,
        administrators: AbstractSet[str] = frozenset(),
    ) -> None:
        self.storage = storage
        self.store = store = storage.events
        self.administrators = administrators
        signing_keys, attempts = storage.signing_keys, storage.attempts
        links, reservations = Links(master), Reservations(keyed_id_secret)
        secrets = Secrets(master, b"identity-partner")

        self.directory = Directory(store)
        self.users = Users(store)
        self.addresses = Addresses(store, reservations)
        self.identifications = Identifications(
            store, KeyedIds(keyed_id_secret), self.directory, storage.scans, attempts
        )
        self.app_codes = AppCodes(store, self.directory)
        self.local_lists = LocalLists(store)
        self.scans = Scans(store, storage.scans, self.identifications)
        self.arrivals = Arrivals(store, self.directory, self.identifications)
        self.invitations = Invitations(store, self.directory, links, self.arrivals, attempts)
        self.sign_ins = SignIns(store, signing_keys, storage.refresh_tokens, administrators)
        self.sign_in_links = SignInLinks(
            store,
            self.directory,
            reservations,
            links,
            self.addresses,
            self.arrivals,
            attempts,
            administrators,
        )
        self.openid = OpenIdSignIn(
            provider,
            storage.openid_states,
            self.addresses,
            self.arrivals,
            attempts,
        )
        self.credentials = Credentials(store, secrets, signing_keys, attempts)
        self.people = People(store, self.addresses, self.identifications)
        forget = [storage.refresh_tokens.forget, storage.scans.forget_user]
        self.privacy = Privacy(
            store, self.directory, storage.keyring, forget, storage.scans.forget_codes
        )
        self.keys = KeySet(partial(asyncio.to_thread, signing_keys.jwks))


def services(identity: Application, access: Access, written: Written) -> Sequence[Service]:
    """Return what is served; an erasure is answered once it is `written`."""
    directory, sign_ins = identity.directory, identity.sign_ins
    signing_keys = identity.storage.signing_keys
    return (
        users.service(
            identity.users, identity.addresses, directory, access, identity.administrators
        ),
        identifications.service(identity.identifications, directory, access),
        codes.service(identity.app_codes, identity.local_lists),
        scans.service(identity.scans, directory, access),
        invitations.service(identity.invitations, sign_ins, directory, access),
        sign_in.service(sign_ins, identity.sign_in_links, identity.openid, signing_keys),
        credentials.service(identity.credentials, directory, access),
        privacy.service(identity.privacy, access, written),
        people.service(identity.people, directory, access),
    )


def reactions(identity: Application, access: Access) -> Sequence[On]:
    """Return what is heard of what access publishes."""
    return (
        on_permission_granted(identity.invitations, access.permission_stands),
        on_permission_revoked(identity.invitations),
        on_partner_member_added(identity.invitations),
        on_partner_member_removed(identity.invitations),
        on_ownership_offered(identity.invitations),
        on_ownership_offer_withdrawn(identity.invitations),
        on_user_forgotten(identity.privacy),
    )


@asynccontextmanager
async def openid_provider(settings: IdentitySettings) -> AsyncIterator[OpenIdProvider | None]:
    """Yield the provider that people may sign in by, if there is one."""
    if settings.openid_issuer is None:
        yield None
        return
    file = settings.openid_client_secret_file
    secret = "" if file is None else file.read_text().strip()
    async with httpx2.AsyncClient() as http:
        client = Client(
            settings.openid_issuer,
            settings.openid_client_id,
            secret,
            settings.openid_redirect_uris,
        )
        yield OpenIdProvider(client, http)
