"""What can be done to installations."""

from __future__ import annotations

from chargekey_access.application import holding, operators
from chargekey_access.domain import installation
from chargekey_access.domain.address import Address
from chargekey_access.domain.errors import OperatorNotConnectedError
from chargekey_access.domain.events import AuthenticationType
from chargekey_access.domain.installation import Policies
from chargekey_access.domain.permission import Subject, SubjectKind, Target
from chargekey_common import local_days, names
from chargekey_common.eventstore.store import EventStore, Work, command


class Installations:
    """The commands about sites."""

    def __init__(self, store: EventStore) -> None:
        self.store = store

    @command
    def create_installation(
        self,
        work: Work,
        *,
        name: str,
        time_zone: str,
        owner_id: str | None = None,
        kind: SubjectKind = "PERSON",
    ) -> str:
        """Create a site and return its id; its owner, if it has one yet, may charge there.

        Raises LocalUserCannotOwnError for an owner who is a LOCAL user of another site.
        """
        zone = local_days.time_zone(time_zone).key
        site = work.begin()
        work.record(site, *installation.create(name=names.name(name), time_zone=zone))
        if owner_id is not None:
            holding.give(
                work,
                target=Target(site.id),
                subject=Subject(owner_id),
                kind=kind,
                roles=["OWNER", "USER"],
            )
        return site.id

    @command
    def rename_installation(
        self, work: Work, *, installation_id: str, name: str, instead_of: str | None = None
    ) -> None:
        """Give a site another name."""
        site = work.load(installation.evolve, installation_id)
        events = installation.rename(site.state, names.name(name), instead_of=instead_of)
        work.record(site, *events)

    @command
    def set_address(
        self,
        work: Work,
        *,
        installation_id: str,
        address: Address,
        instead_of: Address | None = None,
    ) -> None:
        """Say where a site is."""
        site = work.load(installation.evolve, installation_id)
        work.record(site, *installation.set_address(site.state, address, instead_of=instead_of))

    @command
    def set_authorisation_required(
        self, work: Work, *, installation_id: str, required: bool
    ) -> None:
        """Open or restrict a site."""
        site = work.load(installation.evolve, installation_id)
        work.record(site, *installation.set_authorisation_required(site.state, required=required))

    @command
    def set_authentication_type(
        self, work: Work, *, installation_id: str, authentication_type: AuthenticationType
    ) -> None:
        """Say who decides at a site."""
        site = work.load(installation.evolve, installation_id)
        work.record(site, *installation.set_authentication_type(site.state, authentication_type))

    @command
    def set_policies(
        self,
        work: Work,
        *,
        installation_id: str,
        policies: Policies,
        instead_of: Policies | None = None,
    ) -> None:
        """Replace all of a site's policies."""
        site = work.load(installation.evolve, installation_id)
        work.record(site, *installation.set_policies(site.state, policies, instead_of=instead_of))

    @command
    def connect_operator(
        self,
        work: Work,
        *,
        installation_id: str,
        partner_id: str,
        authentication_type: AuthenticationType,
        overrides_allowed: bool,
    ) -> str:
        """Let a payment operator manage a site; return the id of its permission there."""
        operators.connect(
            work,
            installation_id=installation_id,
            partner_id=partner_id,
            authentication_type=authentication_type,
            overrides_allowed=overrides_allowed,
        )
        target, subject = Target(installation_id), Subject(partner_id=partner_id)
        before = holding.held(work, subject, target).state
        return holding.give(
            work,
            target=target,
            subject=subject,
            kind="PAYMENT_OPERATOR",
            roles={"OPERATOR", *(() if before is None else before.roles)},
        )

    @command
    def disconnect_operator(self, work: Work, *, installation_id: str) -> None:
        """Take the site back from its operator, with all it holds on the site (R9)."""
        site = installation.existing(work.load(installation.evolve, installation_id).state)
        if site.managed_by is None:
            raise OperatorNotConnectedError
        operator = Subject(partner_id=site.managed_by)
        holding.take(work, holding.held(work, operator, Target(installation_id)))
        operators.disconnect(work, installation_id=installation_id)

    @command
    def set_overrides_allowed(self, work: Work, *, installation_id: str, allowed: bool) -> None:
        """Let chargers of a managed site deviate from it, or not."""
        site = work.load(installation.evolve, installation_id)
        work.record(site, *installation.set_overrides_allowed(site.state, allowed=allowed))
