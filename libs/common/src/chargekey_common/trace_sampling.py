"""Which traces a collector is told: those that the environment says, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes


class LinkedSampler(Sampler):
    """Samples what is linked to a sampled span, and leaves the rest to another.

    Left to a ratio, one in a hundred commands would be told, and one in ten thousand together
    with what it set off.
    """

    def __init__(self, other: Sampler) -> None:
        self._other = other

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide about a span that begins."""
        begins = not get_current_span(parent_context).get_span_context().is_valid
        if begins and any(link.context.trace_flags.sampled for link in links or ()):
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        return self._other.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        """Say what it is."""
        return f"Linked{{{self._other.get_description()}}}"
