"""What can be done in identity, as a table of contents; one file a noun.

Commands get a `Work` (see chargekey_common.eventstore.store) and are called with
the caller's `Context` in its place; they block, and answer result and position.
A code goes in as plain text and into nothing but the sealed events: receipts
hold ids.
"""
