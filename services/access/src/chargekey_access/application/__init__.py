"""What can be done in access: a file per noun or, across several of them, per act.

`holding` and `operators` are parts of a save that several of them record; `callers` and
`check` answer who somebody is to a thing, and what he may.

Commands get a `Work` (see chargekey_common.eventstore.store) and are called with
the caller's `Context` in its place; they block, and answer result and position.
"""
