"""Reports add up exactly, whatever is in them (R24)."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import openpyxl
import pytest
import pytest_asyncio
from grpc import aio
from hypothesis import given
from hypothesis import strategies as st

from chargekey.history.v1 import reports_pb2 as pb
from chargekey.history.v1.reports_pb2_grpc import ReportServiceStub
from chargekey_common.accounts import ADMINISTRATOR
from chargekey_common.grpc.client import remote_error
from chargekey_common.testing.grpc import served
from chargekey_history.api import reports
from chargekey_history.projections.past import Bookmark, Charge, Fact, Past, Period
from chargekey_history.report_files import COLUMNS, as_csv, as_xlsx
from chargekey_history.reports import Report, Row, report

from .neighbours import small_access
from .sessions import HOUR, NOON, ended, fact, start_refused, started

NUMBERS = st.integers(-(2**63), 2**63 - 1)
CHARGES = st.lists(
    st.builds(
        Charge,
        charger_id=st.sampled_from(("garage", "roof", "yard")),
        user_id=st.sampled_from(("anna", "bob", None)),
        identification_id=st.sampled_from(("card", "pin", None)),
        started_at=NUMBERS | st.integers(0, 10**12),
        ended_at=NUMBERS | st.integers(0, 10**12),
        meter_start=NUMBERS | st.integers(0, 10**6),
        meter_stop=NUMBERS | st.integers(0, 10**6),
        offline=st.booleans(),
    ),
    max_size=30,
)


def added(*parts: Sequence[Row]) -> tuple[int, ...]:
    rows = [row for part in parts for row in part]
    return (
        sum(row.sessions for row in rows),
        sum(row.energy_wh for row in rows),
        sum(row.duration_seconds for row in rows),
        sum(row.offline_sessions for row in rows),
    )


@given(CHARGES, CHARGES)
def test_the_parts_come_to_the_total_and_the_total_to_the_sessions(
    charges: list[Charge], refused: list[Charge]
) -> None:
    """R24: to the watt-hour and the second, also where meters and clocks run backwards."""
    made = report(charges, refused)
    assert added([made.refused]) == added([report(refused).total])
    total = added([made.total])
    assert added(made.chargers) == total
    assert added(made.users, made.without_user) == total
    assert added(made.identifications, made.without_user) == total
    assert total == (
        len(charges),
        sum(min(max(each.meter_stop - each.meter_start, 0), 2**63 - 1) for each in charges),
        sum(max(each.ended_at - each.started_at, 0) // 10**9 for each in charges),
        sum(each.offline for each in charges),
    )
    nobodys = [each for each in charges if each.user_id is None]
    assert added(made.without_user) == added([report(nobodys).total])
    assert {row.id for row in made.users} == {each.user_id for each in charges} - {None}


def told() -> list[Fact]:
    """Sessions of two users and nobody, at two chargers, at two sites; one still runs."""
    nobody = {"user_id": None, "identification_id": None}
    starts = [
        started("s1"),
        started("s2", charger_id="roof", offline=True),
        started("s3", user_id="bob", identification_id="bob-card"),
        started("s4", **nobody, reason="open_charger"),
        started("s5"),
        started("s6", installation_id="office"),
        started("s7", identification_id=None),
    ]
    ends = {"s1": HOUR, "s2": 2 * HOUR, "s3": 3 * HOUR, "s4": 4 * HOUR, "s6": HOUR, "s7": HOUR}
    return [
        *(fact(each, number) for number, each in enumerate(starts)),
        *(
            fact(
                ended(key, 0, ended_at=NOON + after, meter_stop=1_000 + number * 100),
                20 + number,
            )
            for number, (key, after) in enumerate(ends.items(), start=1)
        ),
    ]


@pytest_asyncio.fixture
async def stub(past: Past, tmp_path: Path) -> AsyncIterator[ReportServiceStub]:
    past.apply(told(), Bookmark("then", 30))

    async def check(*_: object) -> None:
        pass

    async with (
        small_access(tmp_path) as access,
        served(reports.service(past, access), tmp_path, check) as as_caller,
    ):
        yield ReportServiceStub(as_caller(ADMINISTRATOR))


def row(key: str, sessions: int, energy: int, hours: int, offline: int = 0) -> pb.ReportRow:
    return pb.ReportRow(
        id=key,
        sessions=sessions,
        energy_wh=energy,
        duration_seconds=hours * 3600,
        offline_sessions=offline,
    )


async def test_a_report_is_per_charger_user_and_identification_and_apart_without_a_user(
    stub: ReportServiceStub,
) -> None:
    """R24, S3-41; what runs is in no report, and what another site's is, is in that one's."""
    answer = await stub.GetReport(pb.GetReportRequest(installation_id="home"))
    assert list(answer.chargers) == [row("garage", 4, 1_400, 9), row("roof", 1, 200, 2, 1)]
    assert list(answer.users) == [row("anna", 3, 900, 4, 1), row("bob", 1, 300, 3)]
    assert list(answer.identifications) == [
        row("", 1, 600, 1),
        row("anna-pin", 2, 300, 3, 1),
        row("bob-card", 1, 300, 3),
    ]
    assert list(answer.without_user) == [row("garage", 1, 400, 4)]
    assert answer.total == row("", 5, 1_600, 11, 1)
    assert answer.refused == row("", 0, 0, 0)


def told_of_the_refused() -> list[Fact]:
    starts = [
        start_refused("r1", user_id="anna", offline=True),
        start_refused("r2", charger_id="roof"),
        start_refused("r3"),  # no energy flowed
        start_refused("r4", installation_id="office"),
    ]
    nobody = {"user_id": None, "identification_id": None}
    ends = [
        ended("r1", 41, meter_stop=1_800),
        ended("r2", 42, **nobody, charger_id="roof", ended_at=NOON + 3 * HOUR, meter_stop=1_050),
        ended("r4", 44, **nobody, installation_id="office"),
    ]
    return [fact(each, number) for number, each in enumerate((*starts, *ends), start=41)]


@pytest.mark.parametrize(
    ("narrowed", "expected"),
    [
        ({}, row("", 2, 850, 4, 1)),
        ({"charger_id": "roof"}, row("", 1, 50, 3)),
        ({"user_id": "anna"}, row("", 1, 800, 1, 1)),
        ({"ended_since": NOON + 2 * HOUR}, row("", 1, 50, 3)),
        ({"ended_before": NOON + 2 * HOUR}, row("", 1, 800, 1, 1)),
    ],
)
async def test_what_flowed_after_refused_starts_is_apart_and_in_no_other_sum(
    past: Past, stub: ReportServiceStub, narrowed: dict[str, int], expected: pb.ReportRow
) -> None:
    """O25, R24."""
    request = pb.GetReportRequest(installation_id="home", **narrowed)  # type: ignore[arg-type] # names of fields
    before = await stub.GetReport(request)
    past.apply(told_of_the_refused(), Bookmark("then", 50))
    answer = await stub.GetReport(request)
    assert answer.refused == expected
    answer.refused.CopyFrom(before.refused)
    assert answer == before


async def test_refused_starts_alone_make_a_report_of_what_is_there_no_more(
    past: Past, stub: ReportServiceStub
) -> None:
    facts = [
        fact(start_refused("r9", installation_id="gone"), 60),
        fact(ended("r9", 60, installation_id="gone", meter_stop=1_100), 61),
    ]
    past.apply(facts, Bookmark("then", 61))
    answer = await stub.GetReport(pb.GetReportRequest(installation_id="gone"))
    assert (answer.total.sessions, answer.refused) == (0, row("", 1, 100, 1))


@pytest.mark.parametrize(
    ("narrowed", "sessions"),
    [
        ({"ended_since": NOON + 2 * HOUR}, 3),
        ({"ended_since": NOON + 2 * HOUR + 1}, 2),
        ({"ended_before": NOON + 2 * HOUR}, 2),
        ({"ended_before": NOON + 2 * HOUR + 1}, 3),
        ({"ended_since": NOON + HOUR, "ended_before": NOON + 3 * HOUR}, 3),
        ({"ended_since": 0, "ended_before": 1}, 0),
        ({"charger_id": "garage"}, 4),
        ({"user_id": "anna"}, 3),
        ({"user_id": "anna", "charger_id": "roof"}, 1),
        ({"user_id": "grace"}, 0),
    ],
)
async def test_a_period_begins_with_its_first_instant_and_ends_before_its_last(
    stub: ReportServiceStub, narrowed: dict[str, int], sessions: int
) -> None:
    """R24; by when a session ended."""
    request = pb.GetReportRequest(installation_id="home", **narrowed)  # type: ignore[arg-type] # names of fields
    assert (await stub.GetReport(request)).total.sessions == sessions


async def test_periods_are_what_ended_between_two_moments_and_empty_ones_too(
    stub: ReportServiceStub,
) -> None:
    """R24: the chart over time."""
    whole = (await stub.GetReport(pb.GetReportRequest(installation_id="home"))).total
    bounds = [0, 1, 2 * NOON]
    request = pb.GetReportRequest(installation_id="home", bounds=bounds)
    assert [each.sessions for each in (await stub.GetReport(request)).periods] == [
        0,
        whole.sessions,
    ]
    for wrong in ([2, 1], [1, 1], range(1, 402)):
        request = pb.GetReportRequest(installation_id="home", bounds=wrong)
        with pytest.raises(aio.AioRpcError) as refused:
            await stub.GetReport(request)
        assert remote_error(refused.value).code == "bounds_malformed"


@given(CHARGES, st.lists(NUMBERS, min_size=2, max_size=10, unique=True).map(sorted))
def test_every_session_is_in_the_period_that_it_ended_in(
    charges: list[Charge], bounds: list[int]
) -> None:
    made = report(charges, bounds=bounds)
    for row, since, before in zip(made.periods, bounds, bounds[1:], strict=False):
        alone = report([each for each in charges if since <= each.ended_at < before])
        assert row == alone.total


async def test_what_does_not_exist_has_no_report(stub: ReportServiceStub) -> None:
    for request, code in (
        (pb.GetReportRequest(installation_id="nowhere"), "installation_unknown"),
        (pb.GetReportRequest(installation_id="home", user_id="nobody"), "user_unknown"),
        (pb.GetReportRequest(installation_id="home", charger_id="none"), "charger_unknown"),
    ):
        with pytest.raises(aio.AioRpcError) as refused:
            await stub.GetReport(request)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        assert remote_error(refused.value).code == code


async def test_meters_that_lie_make_no_report_unreadable(
    past: Past, stub: ReportServiceStub
) -> None:
    for number, key in enumerate(("x", "y"), start=40):
        lying = started(key, meter_start=-(2**63), started_at=-(2**63))
        end = ended(key, 0, meter_stop=2**63 - 1, ended_at=2**63 - 1)
        past.apply([fact(lying, number), fact(end, number)], Bookmark("then", number))
    answer = await stub.GetReport(pb.GetReportRequest(installation_id="home"))
    assert answer.total.energy_wh == 2**63 - 1


NAMES = [
    pb.ReportName(id="anna", name='=HYPERLINK("http://evil")'),
    pb.ReportName(id="bob", name='Bob "the" Byte, Åse'),
    pb.ReportName(id="garage", name="-CP\r\n1"),
    pb.ReportName(id="roof", name="@roof"),
]


def read_csv(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


async def test_a_file_in_csv_has_every_part_and_no_formula(
    past: Past, stub: ReportServiceStub
) -> None:
    """R24: RFC 4180, UTF-8; what a spreadsheet would take for a formula is a text."""
    flowed = [fact(start_refused("r1"), 41), fact(ended("r1", 41, meter_stop=1_700), 42)]
    past.apply(flowed, Bookmark("then", 42))
    asked = pb.ExportReportRequest(report=pb.GetReportRequest(installation_id="home"), names=NAMES)
    answer = await stub.ExportReport(asked)
    assert (answer.file_name, answer.media_type) == ("report.csv", "text/csv; charset=utf-8")
    table = read_csv(answer.content)
    assert table[0] == ["part", *COLUMNS]
    assert table[1] == ["charger", "garage", "'-CP\r\n1", "4", "1400", "32400", "0"]
    assert table[2] == ["charger", "roof", "'@roof", "1", "200", "7200", "1"]
    assert table[3][:3] == ["user", "anna", '\'=HYPERLINK("http://evil")']
    assert table[4][:3] == ["user", "bob", 'Bob "the" Byte, Åse']
    parts = [*["identification"] * 3, "without_user", "total", "refused"]
    assert [each[0] for each in table[5:]] == parts
    assert table[-2] == ["total", "", "", "5", "1600", "39600", "1"]
    assert answer.content.endswith(b"total,,,5,1600,39600,1\r\nrefused,,,1,700,3600,0\r\n")


async def test_a_file_in_xlsx_has_a_sheet_a_part_and_numbers_are_numbers(
    stub: ReportServiceStub,
) -> None:
    """R24: texts stay texts, so that none of them is a formula or a link."""
    asked = pb.ExportReportRequest(
        report=pb.GetReportRequest(installation_id="home"),
        format=pb.REPORT_FORMAT_XLSX,
        names=NAMES,
    )
    answer = await stub.ExportReport(asked)
    assert answer.file_name == "report.xlsx"
    book = openpyxl.load_workbook(io.BytesIO(answer.content))
    parts = ["charger", "user", "identification", "without_user", "total", "refused"]
    assert book.sheetnames == parts
    users = list(book["user"].iter_rows())
    assert tuple(cell.value for cell in users[0]) == COLUMNS
    name = users[1][1]
    assert (name.value, name.data_type) == ('=HYPERLINK("http://evil")', "s")
    assert [cell.value for cell in users[1][2:]] == [3, 900, 4 * 3600, 1]
    assert [cell.value for cell in list(book["total"].iter_rows())[1][2:]] == [5, 1600, 39600, 1]


@given(
    CHARGES,
    st.dictionaries(
        st.sampled_from(("garage", "anna", "card")),
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    ),
)
def test_both_files_say_the_same_and_no_cell_of_the_table_begins_a_formula(
    charges: list[Charge], names: dict[str, str]
) -> None:
    """R24."""
    made: Report = report(charges)
    table = read_csv(as_csv(made, names))[1:]
    book = openpyxl.load_workbook(io.BytesIO(as_xlsx(made, names)))
    sheets = [
        (sheet.title, [cell.value for cell in line])
        for sheet in book
        for line in list(sheet.iter_rows())[1:]
    ]
    assert [(line[0], line[1], line[3]) for line in table] == [
        (title, cells[0] or "", str(cells[2])) for title, cells in sheets
    ]
    for line in table:
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in line)


def test_a_period_of_the_past_is_asked_for_as_it_is(past: Past) -> None:
    past.apply(told(), Bookmark("then", 30))
    assert len(past.charges(Period(installation_id="home"))) == 5
    assert len(past.charges(Period(installation_id="office"))) == 1
