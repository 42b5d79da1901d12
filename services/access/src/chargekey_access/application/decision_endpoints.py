"""Decision endpoints: where payment operators answer who may charge at their EXTERNAL sites."""

from __future__ import annotations

import uuid

import msgspec

from chargekey_access.domain import partner
from chargekey_access.domain.events import DecisionEndpointKind, OcpiParties
from chargekey_access.domain.partner import DecisionEndpoint
from chargekey_access.projections.directory import Directory
from chargekey_access.tables.endpoint_secrets import EndpointSecrets
from chargekey_common.eventstore.store import Answer, Context, EventStore, Work, command

_IDS = uuid.UUID("1f0f0b1c-6a5d-4f7e-8f55-0c7c1f9a3b64")


class Endpoint(msgspec.Struct, frozen=True):
    """An endpoint and what it is called with."""

    kind: DecisionEndpointKind
    url: str
    secret: str
    parties: OcpiParties | None = None

    def __repr__(self) -> str:
        return f"Endpoint({self.kind}, {self.url!r})"


class DecisionEndpoints:
    """The commands about them, and what is asked of them; blocking.

    A secret is durable before the event that names it, and forgotten after the event
    that replaces it: what a command gives or makes follows from its id. So a command that
    comes again, late, keeps it again, and forgets it again.
    """

    def __init__(self, store: EventStore, directory: Directory, secrets: EndpointSecrets) -> None:
        self.store = store
        self._directory = directory
        self._secrets = secrets

    def set_(
        self,
        context: Context,
        *,
        partner_id: str,
        kind: DecisionEndpointKind,
        url: str,
        given: str,
        parties: OcpiParties | None = None,
    ) -> tuple[str, Answer[str | None]]:
        """Let an operator be asked there; return what is shown this once, and the answer.

        `given` is OCPI's token; a webhook's key is made, and the same again for the same
        command. Raises what `partner` raises.
        """
        there = partner.endpoint_url(url)
        named = partner.endpoint_parties(kind, parties)
        asker = f"{context.actor}\x00{context.command_id}\x00{partner_id}"
        secret = partner.endpoint_secret(kind, given, self._secrets.made_for(asker))
        partner.operator(self._directory.partners.partner(partner_id))
        secret_id = str(uuid.uuid5(_IDS, asker))
        self._secrets.keep(secret_id, secret)
        answer = self.set_decision_endpoint(
            context,
            partner_id=partner_id,
            kind=kind,
            url=there,
            secret_id=secret_id,
            parties=named,
        )
        self._forget(answer)
        now = self._directory.partners.partner(partner_id).endpoint
        if now is None or now.secret_id != secret_id:
            self._secrets.forget(secret_id)
        return (secret if kind == "WEBHOOK" else ""), answer

    def remove(self, context: Context, *, partner_id: str) -> Answer[str | None]:
        """Let it be asked no longer; raises what `partner` raises."""
        answer = self.remove_decision_endpoint(context, partner_id=partner_id)
        self._forget(answer)
        return answer

    def get(self, partner_id: str) -> Endpoint:
        """Return where it answers and what it is called with.

        Raises PartnerUnknownError or DecisionEndpointUnknownError.
        """
        found = self.describe(partner_id)
        secret = self._secrets.read(found.secret_id)
        return Endpoint(found.kind, found.url, secret, found.parties)

    def describe(self, partner_id: str) -> DecisionEndpoint:
        """Return where it answers; raises as `get` does."""
        return partner.endpoint(self._directory.partners.partner(partner_id))

    @command
    def set_decision_endpoint(
        self,
        work: Work,
        *,
        partner_id: str,
        kind: DecisionEndpointKind,
        url: str,
        secret_id: str,
        parties: OcpiParties | None,
    ) -> str | None:
        """Set it; return the id of the secret that is replaced, if there was one."""
        loaded = work.load(partner.evolve, partner_id)
        events = partner.set_decision_endpoint(
            loaded.state, kind=kind, url=url, secret_id=secret_id, parties=parties
        )
        work.record(loaded, *events)
        before = partner.existing(loaded.state).endpoint
        return None if before is None else before.secret_id

    @command
    def remove_decision_endpoint(self, work: Work, *, partner_id: str) -> str | None:
        """Remove it; return the id of its secret."""
        loaded = work.load(partner.evolve, partner_id)
        work.record(loaded, *partner.remove_decision_endpoint(loaded.state))
        return partner.endpoint(loaded.state).secret_id

    def _forget(self, answer: Answer[str | None]) -> None:
        if answer.result is not None:
            self._secrets.forget(answer.result)
