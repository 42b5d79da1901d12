"""The gRPC service: reports over the sessions of an installation (R24)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
from grpc import aio

from chargekey.history.v1 import reports_pb2 as pb
from chargekey.history.v1 import reports_pb2_grpc
from chargekey_common.grpc.server import Objects, Service
from chargekey_history.api.access import Access
from chargekey_history.errors import (
    BoundsMalformedError,
    InstallationUnknownError,
    PeriodMalformedError,
    ReportFormatUnknownError,
)
from chargekey_history.projections.past import Past, Period
from chargekey_history.report_files import Names, as_csv, as_xlsx
from chargekey_history.reports import Report, Row, report

NAME = "chargekey.history.v1.ReportService"

# Of periods that are told apart: a year of days, and some.
MOST_BOUNDS = 400
_HIGHEST = 2**63 - 1  # what the protocol carries

Context = aio.ServicerContext[Any, Any]


class FileKind(msgspec.Struct, frozen=True):
    """How a report is written to a file."""

    file_name: str
    media_type: str
    write: Callable[[Report, Names], bytes]


_CSV = FileKind("report.csv", "text/csv; charset=utf-8", as_csv)
_XLSX = FileKind(
    "report.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", as_xlsx
)
_KINDS: Mapping[int, FileKind] = {
    pb.REPORT_FORMAT_UNSPECIFIED: _CSV,
    pb.REPORT_FORMAT_CSV: _CSV,
    pb.REPORT_FORMAT_XLSX: _XLSX,
}


class ReportServicer(reports_pb2_grpc.ReportServiceServicer):
    """Every method of reports.proto."""

    def __init__(self, past: Past, access: Access) -> None:
        self._past = past
        self._access = access

    async def GetReport(self, request: pb.GetReportRequest, _: Context) -> pb.GetReportResponse:
        made = await self._report(request)
        return pb.GetReportResponse(
            chargers=_rows(made.chargers),
            users=_rows(made.users),
            identifications=_rows(made.identifications),
            without_user=_rows(made.without_user),
            total=_row(made.total),
            refused=_row(made.refused),
            periods=_rows(made.periods),
        )

    async def ExportReport(
        self, request: pb.ExportReportRequest, _: Context
    ) -> pb.ExportReportResponse:
        kind = _KINDS.get(request.format)
        if kind is None:
            raise ReportFormatUnknownError
        made = await self._report(request.report)
        names = {each.id: each.name for each in request.names}
        content = await asyncio.to_thread(kind.write, made, names)
        return pb.ExportReportResponse(
            file_name=kind.file_name, media_type=kind.media_type, content=content
        )

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "GetReport": _installation,
            "ExportReport": lambda request: _installation(request.report),
        }

    async def _report(self, request: pb.GetReportRequest) -> Report:
        if not request.installation_id:
            raise InstallationUnknownError
        since = request.ended_since if request.HasField("ended_since") else None
        before = request.ended_before if request.HasField("ended_before") else None
        if since is not None and before is not None and before <= since:
            raise PeriodMalformedError
        if len(request.bounds) > MOST_BOUNDS or not _ascending(request.bounds):
            raise BoundsMalformedError
        period = Period(
            installation_id=request.installation_id,
            since=since,
            before=before,
            charger_id=request.charger_id,
            user_id=request.user_id,
        )
        made = await asyncio.to_thread(
            lambda: report(
                self._past.charges(period), self._past.refused_charges(period), request.bounds
            )
        )
        if not made.total.sessions and not made.refused.sessions:
            # Nothing there and no such thing are two answers; what is gone has a past.
            await self._access.require(
                installation_id=period.installation_id,
                charger_id=period.charger_id,
                user_id=period.user_id,
            )
        return made


def service(past: Past, access: Access) -> Service:
    """Return the service, to be served."""
    servicer = ReportServicer(past, access)
    return Service(
        NAME, reports_pb2_grpc.add_ReportServiceServicer_to_server, servicer, servicer.objects()
    )


def _ascending(moments: Sequence[int]) -> bool:
    return all(one < next_ for one, next_ in pairwise(moments))


def _installation(request: pb.GetReportRequest) -> str:
    return f"installation:{request.installation_id}"


def _rows(rows: Sequence[Row]) -> Sequence[pb.ReportRow]:
    return [_row(each) for each in rows]


def _row(row: Row) -> pb.ReportRow:
    return pb.ReportRow(
        id=row.id,
        sessions=row.sessions,
        # Only meters that lie come to more.
        energy_wh=min(row.energy_wh, _HIGHEST),
        duration_seconds=min(row.duration_seconds, _HIGHEST),
        offline_sessions=row.offline_sessions,
    )
