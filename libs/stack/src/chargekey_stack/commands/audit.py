"""`chargekey audit`: whether what was published is what is stored, and how far everybody is."""

from __future__ import annotations

from chargekey.audit.v1 import audit_pb2 as pb
from chargekey.audit.v1 import standing_pb2
from chargekey_stack.answers import Answer, Document, instant, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.errors import AuditDifferedError
from chargekey_stack.progress import bars

# The gateway publishes these first and only there: there is nothing to compare them with.
STREAMS_WITHOUT_STORE = ("SESSIONS", "CHARGERS")

_COLUMNS = ("service", "part", "stream", "applied", "last", "behind", "moved_at")

app = group("audit", "Whether what was published is what is stored, and is heard.")


@command(app, "verify", "chargekey audit verify")
async def verify(client: Client) -> Answer:
    """Compare every store with its stream, record hash by record hash."""
    results: list[pb.Result] = []
    with bars(shown=client.for_people) as advance:
        for service, audit in client.audits.items():
            async for told in audit.Verify(pb.VerifyRequest()):
                if told.HasField("result"):
                    results.append(told.result)
                else:
                    advance(service, told.progress.number, told.progress.end)
    if differences := [_difference(each) for each in results if each.HasField("difference")]:
        raise AuditDifferedError(" ".join(differences))
    return Answer(
        {
            "ok": True,
            "streams": [
                *map(_document, results),
                *({"stream": name, "store": False} for name in STREAMS_WITHOUT_STORE),
            ],
        },
        "\n".join(
            [
                *map(_sentence, results),
                f"{' and '.join(STREAMS_WITHOUT_STORE)} have no store to compare them with.",
            ]
        ),
    )


@command(app, "standing", "chargekey audit standing")
async def standing(client: Client) -> Answer:
    """Tell how far each service is in each stream."""
    rows: list[Document] = []
    for service, standings in client.standings.items():
        told = await standings.ListStandings(standing_pb2.ListStandingsRequest())
        rows.extend(_standing(service, each) for each in told.standings)
    return table("standings", rows, _COLUMNS)


def _standing(service: str, standing: standing_pb2.Standing) -> Document:
    return {
        "service": service,
        "part": standing.part,
        "stream": standing.stream,
        "generation": standing.generation or None,
        "applied": standing.applied,
        "last": standing.last,
        "behind": standing.behind if standing.HasField("behind") else None,
        "moved_at": instant(standing.moved_at) if standing.moved_at else None,
    }


def _document(result: pb.Result) -> Document:
    return {
        "stream": result.stream,
        "store": True,
        "records": result.records,
        "behind": result.behind,
    }


def _sentence(result: pb.Result) -> str:
    behind = f"; {result.behind} are still to be published" if result.behind else ""
    return f"{result.stream} tells {result.records} records as they are stored{behind}."


def _difference(result: pb.Result) -> str:
    difference = result.difference
    where = [result.stream]
    if difference.position:
        where.append(f"position {difference.position}")
    if difference.sequence:
        where.append(f"sequence {difference.sequence}")
    return f"{', '.join(where)}: {difference.message} ({difference.code})"
