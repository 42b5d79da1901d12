"""How long a charger keeps what it could not deliver of its transactions."""

from __future__ import annotations

# OCPP 1.6 §3.7.1, 2.x E13: before it sends a transaction message for the n-th time
# again, a charger waits n times the interval. 133 attempts, 10 s: 10 s times (1 + 2 + … + 132)
# = 24 h 23 min, so a start outlives a day without answers. The short interval keeps the gaps
# short when the answers come back (22 minutes at the end of that day), and the count fits into
# a byte, which is all some firmware has.
ATTEMPTS = 133
INTERVAL = 10  # seconds
