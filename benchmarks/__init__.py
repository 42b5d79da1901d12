"""Every figure that docs/performance.md explains, each beside its floor or peer.

`python -m benchmarks` measures all, `python -m benchmarks decision` one. A benchmark is a
module with a function `figures`; it runs in a process of its own, so that what another one
left in memory does not count.
"""
