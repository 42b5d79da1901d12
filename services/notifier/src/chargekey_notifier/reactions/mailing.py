"""Every reaction that leaves mails in the outbox."""

from __future__ import annotations

from collections.abc import Callable

from chargekey_common.reactions import On
from chargekey_notifier.mails.outbox import Outbox
from chargekey_notifier.reactions.on_access_request_approved import on_access_request_approved
from chargekey_notifier.reactions.on_access_request_denied import on_access_request_denied
from chargekey_notifier.reactions.on_access_requested import on_access_requested
from chargekey_notifier.reactions.on_identification_added import on_identification_added
from chargekey_notifier.reactions.on_identification_expiry_changed import (
    on_identification_expiry_changed,
)
from chargekey_notifier.reactions.on_invitation_created import on_invitation_created
from chargekey_notifier.reactions.on_invitation_renewed import on_invitation_renewed
from chargekey_notifier.reactions.on_owner_accepted import on_owner_accepted
from chargekey_notifier.reactions.on_owner_added import on_owner_added
from chargekey_notifier.reactions.on_ownership_offered import on_ownership_offered
from chargekey_notifier.reactions.on_ownership_transferred import on_ownership_transferred
from chargekey_notifier.reactions.on_permission_changed import on_permission_changed
from chargekey_notifier.reactions.on_permission_granted import on_permission_granted
from chargekey_notifier.reactions.on_permission_revoked import on_permission_revoked
from chargekey_notifier.reactions.on_pin_locked_out import on_pin_locked_out
from chargekey_notifier.reactions.on_pin_locked_out_at_installation import (
    on_pin_locked_out_at_installation,
)
from chargekey_notifier.reactions.on_sign_in_link_requested import on_sign_in_link_requested
from chargekey_notifier.reactions.on_user_blocked import on_user_blocked
from chargekey_notifier.reactions.on_user_blocked_at_installation import (
    on_user_blocked_at_installation,
)

MAILS: tuple[Callable[[Outbox], On], ...] = (
    on_access_request_approved,
    on_access_request_denied,
    on_access_requested,
    on_identification_added,
    on_identification_expiry_changed,
    on_invitation_created,
    on_invitation_renewed,
    on_owner_accepted,
    on_owner_added,
    on_ownership_offered,
    on_ownership_transferred,
    on_permission_changed,
    on_permission_granted,
    on_permission_revoked,
    on_pin_locked_out,
    on_pin_locked_out_at_installation,
    on_sign_in_link_requested,
    on_user_blocked,
    on_user_blocked_at_installation,
)
