"""What was presented where, and from there to the inputs of one decision."""

from __future__ import annotations

import msgspec

from chargekey_common.keyed_ids import CodeClass, is_malformed
from chargekey_common.published.sessions import Inputs
from chargekey_gateway.view.entries import NEVER, Charger, Grant, Identification, User

# What the chargers' settings call the classes of codes (S0-8), where nobody knows whose
# it is and so of which type. A code that is nothing else is on some card.
TYPES = {
    CodeClass.PIN: "PIN",
    CodeClass.UID: "RFID",
    CodeClass.APP: "APP",
    CodeClass.CONTRACT: "VEHICLE_ID",
    CodeClass.OTHER: "RFID",
}


class Presented(msgspec.Struct, frozen=True, gc=False):
    """What was presented; `token` is what the charger sent, with its reader's quirks undone.

    `ambiguous` where it may be the code of several identifications, `shortened` where it is
    the beginning of a card's number, as a truncating reader tells it.
    """

    token: str
    code_class: CodeClass
    identification: Identification | None
    ambiguous: bool = False
    shortened: bool = False

    def __repr__(self) -> str:
        """Say of what class, never what."""
        return f"Presented({self.code_class})"

    @property
    def type(self) -> str:
        """The type of identification: its own where it is known, else what the code looks like."""
        known = self.identification
        return TYPES[self.code_class] if known is None else known.type


def gather(
    charger: Charger,
    presented: Presented,
    *,
    at: int,
    positions: tuple[str, ...],
    locked_out: bool = False,
    announced: CodeClass | None = None,
    view_behind: bool = False,
) -> Inputs:
    """Collect what is known at `at` (nanoseconds since the epoch) of who presents what where.

    `locked_out` where PINs are locked there (R14); `announced` is what it is said to be,
    where anything is said; `view_behind` where the site allows no view this old. A token that
    is empty is nobody's, and of no type; callers who know whose it is without a token have
    presented it all the same.
    """
    nothing = not presented.token and presented.identification is None
    here = Inputs(
        at=at,
        charger_known=charger.registered,
        managed_externally=charger.installation.external,
        authorisation_required=charger.authorisation_required,
        token_type=presented.type,
        # Also of what is known, so that finding a PIN takes as long as not finding it.
        token_malformed=bool(presented.token) and is_malformed(presented.token, announced),
        token_ambiguous=presented.ambiguous,
        token_shortened=presented.shortened,
        nothing_presented=nothing,
        type_enabled=nothing or presented.type in charger.identification_types,
        locked_out=locked_out,
        view_behind=view_behind,
        positions=positions,
    )
    identification = presented.identification
    if identification is None:
        return here
    user, terms = identification.user, identification.terms
    grant = grant_here(charger, user)
    right = None if grant is None else grant.right
    return msgspec.structs.replace(
        here,
        identification_id=identification.id,
        identification_status=terms.status,
        identification_valid_until=terms.valid_until,
        user_id=user.id,
        user_blocked=bool(user.blocks) or charger.installation.id in user.blocked_at,
        user_blocked_everywhere=None in user.blocks,
        user_verified=user.verified,
        permission_id=None if grant is None else grant.permission_id,
        permission_on=None if right is None else "charger" if right.on_charger else "installation",
        permission_valid_until=None if right is None or right.ends == NEVER else right.ends,
        group_id=terms.group_id,
        group_card=terms.group_card,
    )


def grant_here(charger: Charger, user: User) -> Grant | None:
    """Return the grant on charger or installation that ends last (they add up, R4)."""
    here = charger.installation
    for grant in user.held:
        if grant.right.target is charger or grant.right.target is here:
            return grant
    return None
