"""Reports as files: one table in CSV (RFC 4180, UTF-8), a sheet a part in XLSX.

People open them in spreadsheets, to which a cell that begins with =, +, -, @, a tab or a
carriage return is a formula: such a text gets an apostrophe before it in CSV. In XLSX texts
are texts.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterator, Mapping, Sequence

import xlsxwriter

from chargekey_history.reports import Report, Row

COLUMNS = ("id", "name", "sessions", "energy_wh", "duration_seconds", "offline_sessions")
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
# Alike for the same report, whenever it is written.
_WRITTEN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None)

Names = Mapping[str, str]


def parts(report: Report) -> Iterator[tuple[str, Sequence[Row]]]:
    """Yield the parts by their names, in the order in which they are written."""
    yield "charger", report.chargers
    yield "user", report.users
    yield "identification", report.identifications
    yield "without_user", report.without_user
    yield "total", (report.total,)
    yield "refused", (report.refused,)


def as_csv(report: Report, names: Names) -> bytes:
    """Write one table, of which the first column names the part; `names` are by id."""
    written = io.StringIO(newline="")
    table = csv.writer(written)
    table.writerow(("part", *COLUMNS))
    for part, rows in parts(report):
        for row in rows:
            cells = (
                _harmless(each) if isinstance(each, str) else each for each in _cells(row, names)
            )
            table.writerow((part, *cells))
    return written.getvalue().encode()


def as_xlsx(report: Report, names: Names) -> bytes:
    """Write a workbook with a sheet for each part, in memory; `names` are by id."""
    written = io.BytesIO()
    with xlsxwriter.Workbook(written, {"in_memory": True}) as workbook:
        workbook.set_properties({"created": _WRITTEN})
        for part, rows in parts(report):
            sheet = workbook.add_worksheet(part)
            sheet.freeze_panes(1, 0)
            for number, cells in enumerate((COLUMNS, *(_cells(row, names) for row in rows))):
                for column, cell in enumerate(cells):
                    if isinstance(cell, str):
                        sheet.write_string(number, column, cell)
                    else:
                        sheet.write_number(number, column, cell)
    return written.getvalue()


def _cells(row: Row, names: Names) -> tuple[str | int, ...]:
    return (
        row.id,
        names.get(row.id, ""),
        row.sessions,
        row.energy_wh,
        row.duration_seconds,
        row.offline_sessions,
    )


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULAS) else text
