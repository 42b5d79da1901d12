"""The published events: the one definition of what the services tell each other.

`envelope` says how they travel; `access`, `identity`, `sessions` and `chargers`
say what they are, one module a stream. Published events carry ids only, never a
name, an address or a code. A change may only add optional fields; anything else
is a new version of the stream.
"""
