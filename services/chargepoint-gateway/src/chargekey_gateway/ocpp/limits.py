"""How much a charger may take, and how long things may last."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds and intervals of charger connections; durations in seconds.

    heartbeat_interval     what BootNotification.conf asks for
    first_call_timeout     from open to the first valid call: keep it above heartbeat_interval.
                           Chargers boot once, not at every reconnect; of one that has never told
                           of a boot this is how long it has to, and is asked for it after half
    messages_per_second    frames of any kind a charger may send on the average; each full
                           KiB in one counts as another, since reading it takes its time
    message_burst          frames it may send at once on top of that average; another
                           connection brings no more
    message_timeout        from a message's first fragment to its last
    pending_calls          calls of the charger that may wait for their answers
    call_timeout           how long a call of ours waits for its answer
    queued_calls           calls of ours that may wait for the one outstanding
    unanswered_calls       so many in a row close the connection
    idle_timeout           silence after which the charger is pinged
    pong_timeout           silence after that ping which means it is gone
    displacement_timeout   how long a connected charger has to answer the ping that a
                           second connection with its identity causes
    close_timeout          how long the peer has to finish the closing handshake

    Before there is a charger:

    opening_timeout        for the TLS handshake, and for the HTTP request
    opening_connections    so many may be at their HTTP request at once, of all together; a
                           quarter of them from one address
    failures_per_identity  so many authentications of a charger from an address may fail within
                           failures_window before more are refused without a word; 0 for any
                           number. What is right is let in all the same
    failures_per_address   the same for whatever chargers an address tries
    failures_window        for how long a failure counts
    """

    heartbeat_interval: int = 300
    first_call_timeout: float = 600
    messages_per_second: float = 100
    message_burst: float = 500
    message_timeout: float = 10
    pending_calls: int = 16
    call_timeout: float = 30
    queued_calls: int = 64
    unanswered_calls: int = 5
    idle_timeout: float = 60
    pong_timeout: float = 20
    displacement_timeout: float = 5
    close_timeout: float = 2
    opening_timeout: float = 5
    opening_connections: int = 2000
    failures_per_identity: int = 20
    failures_per_address: int = 0
    failures_window: float = 60
