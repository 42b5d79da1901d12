"""From the view's entries to the inputs of one decision."""

from __future__ import annotations

import msgspec

from chargekey_common.published.sessions import Inputs
from chargekey_gateway.view.entries import NEVER, Charger, Grant, Identification


def gather(
    charger: Charger,
    token_type: str,
    identification: Identification | None,
    *,
    malformed: bool,
    at: int,
    positions: tuple[str, ...],
) -> Inputs:
    """Collect what is known at `at` (nanoseconds since the epoch) of who presents what where.

    `malformed` where no identification can have what was presented as its code.
    """
    here = Inputs(
        at=at,
        charger_known=charger.registered,
        authorisation_required=charger.authorisation_required,
        token_type=token_type,
        token_malformed=malformed,
        type_enabled=token_type in charger.identification_types,
        positions=positions,
    )
    if identification is None:
        return here
    user = identification.user
    grant = _grant_here(charger, user.grants)
    return msgspec.structs.replace(
        here,
        identification_id=identification.id,
        identification_status=identification.status,
        identification_valid_until=identification.valid_until,
        user_id=user.id,
        user_blocked=bool(user.blocks),
        user_blocked_everywhere=None in user.blocks,
        permission_id=None if grant is None else grant.permission_id,
        permission_on=None if grant is None else grant.on,
        permission_valid_until=None if grant is None or grant.ends == NEVER else grant.ends,
    )


def _grant_here(charger: Charger, grants: tuple[Grant, ...]) -> Grant | None:
    """Return the grant on charger or installation that ends last (they add up, R4)."""
    here = (charger.id, charger.installation.id)
    return next((grant for grant in grants if grant.target in here), None)
