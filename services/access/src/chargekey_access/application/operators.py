"""What it takes for a payment operator to manage a site, or no longer (R2, R3, R9).

To manage a site is to hold OPERATOR on it: whoever saves the one saves the other.
"""

from __future__ import annotations

from chargekey_access.domain import installation, partner
from chargekey_access.domain.errors import NotAPaymentOperatorError
from chargekey_access.domain.events import AuthenticationType
from chargekey_access.domain.installation import Installation
from chargekey_common.eventstore.store import Work


def connect(
    work: Work,
    *,
    installation_id: str,
    partner_id: str,
    authentication_type: AuthenticationType = "NATIVE",
    overrides_allowed: bool = False,
) -> None:
    """Record at the site that the partner manages it; its permission is the caller's to record.

    Raises PartnerUnknownError, NotAPaymentOperatorError or OperatorConnectedAlreadyError.
    """
    site = work.load(installation.evolve, installation_id)
    operator = partner.existing(work.load(partner.evolve, partner_id).state)
    if operator.kind != "PAYMENT_OPERATOR":
        raise NotAPaymentOperatorError
    events = installation.connect_operator(
        site.state,
        partner_id=partner_id,
        authentication_type=authentication_type,
        overrides_allowed=overrides_allowed,
    )
    work.record(site, *events)


def disconnect(work: Work, *, installation_id: str) -> None:
    """Record at the site that nobody manages it; its permission is the caller's to revoke, before.

    Raises OperatorNotConnectedError.
    """
    site = work.load(installation.evolve, installation_id)
    work.record(site, *installation.disconnect_operator(site.state))


def whom_to_ask(work: Work, site: Installation) -> str:
    """Return name and contact of the operator that manages the site; empty where none does."""
    if site.managed_by is None:
        return ""
    operator = partner.existing(work.load(partner.evolve, site.managed_by).state)
    return f"{operator.name}, {operator.contact}"
