"""What can be done in access: a file per noun.

Commands get a `Work` (see chargekey_common.eventstore.store) and are called with
the caller's `Context` in its place; they block, and answer result and position.
"""
