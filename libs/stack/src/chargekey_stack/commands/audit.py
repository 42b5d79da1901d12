"""`chargekey audit`: whether what was published is what is stored."""

from __future__ import annotations

from chargekey.audit.v1 import audit_pb2 as pb
from chargekey_stack.answers import Answer, Document
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.errors import AuditDifferedError
from chargekey_stack.progress import bars

# The gateway publishes these first and only there: there is nothing to compare them with.
STREAMS_WITHOUT_STORE = ("SESSIONS", "CHARGERS")

app = group("audit", "Whether what was published is what is stored.")


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
