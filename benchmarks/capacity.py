"""Write docs/capacity.md from the last results: `python -m benchmarks.capacity [--check]`.

Nothing is measured here. With `--check` it is only told whether the page is what it should be.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from benchmarks import cold_start, results
from benchmarks.figures import Figure
from benchmarks.needs import (
    DAY,
    GIB,
    HOUR,
    YEAR,
    Assumed,
    FigureMissingError,
    Needs,
    measured,
)
from chargekey_gateway.application.metering import SELDOM
from chargekey_gateway.kept_sessions import BYTES_A_MESSAGE, MANY
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.settings import GatewaySettings

CHANGED = cold_start.TAIL / cold_start.IDENTIFICATIONS
FEWER = 10_000  # chargers
# Bytes of what is kept of SESSIONS, for each identification that has charged.
KEPT = 90
# Seconds between two looks at that.
UNSEEN: float = GatewaySettings.model_fields["snapshot_interval"].default
PAGE = Path(__file__).parents[1] / "docs" / "capacity.md"


class Wall(msgspec.Struct, frozen=True):
    """What stands in the way where all grows as assumed: where `need` comes to `limit`.

    `row` is the one of the table of needs that it limits.
    """

    row: str
    name: str
    need: float
    limit: float
    because: str
    moved_by: str

    def at(self, size: float) -> float:
        """Return how many chargers it is met at, where `size` of them need so much."""
        return size * self.limit / self.need


def main() -> None:
    """Write the page, or say whether it is up to date."""
    try:
        wanted = page(results.latest())
    except FigureMissingError as error:
        sys.exit(f"docs/capacity.md cannot be written. {error}")
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(wanted)
    elif not PAGE.exists() or PAGE.read_text() != wanted:
        sys.exit("docs/capacity.md is not what the last results say: python -m benchmarks.capacity")


def page(figures: Sequence[Figure]) -> str:
    """Return the page; raises FigureMissingError."""
    of = Assumed()
    needs = Needs(of, measured(figures))
    met = sorted(walls(needs), key=lambda each: each.at(of.chargers))
    parts = (
        _opening(needs, met),
        _section("In one table", _in_one_table(needs, met)),
        _section("Gateways", _gateways(needs)),
        _section("NATS", _nats(needs)),
        _section("PostgreSQL, and who keeps what there", _stores(needs)),
        _section("Walls", _walls(of, met)),
        _section("What is assumed", _assumed(of)),
    )
    return "\n\n".join(parts) + "\n"


def walls(needs: Needs) -> Sequence[Wall]:
    """Return what stands in the way, in no order."""
    of, one = needs.of, needs.one
    start, host, kept = _duration(of.start), _size(of.host), _duration(of.kept)
    return (
        Wall(
            "NATS, until transaction ids end",
            "OCPP 1.6's transaction ids, which are SESSIONS' sequences, end",
            needs.transaction_ids,
            1,
            f"2³¹ is reached after {kept}",
            "A stream for each region, each with numbers of its own; readings in a stream beside;"
            " or a number of the charger's own, since a charger only has to tell its own apart.",
        ),
        Wall(
            "identity, memory of each replica",
            "Every replica of identity knows everybody",
            needs.identity_memory,
            of.host,
            f"{host} are full",
            "Tables with indexes, as history has them, in place of memory.",
        ),
        Wall(
            "identity, start",
            "Every replica of identity reads all its events before it answers",
            needs.identity_start,
            of.start,
            f"a start takes {start}",
            "Tables with indexes, as history has them; or a memory in a file, as a gateway's view.",
        ),
        Wall(
            "access, start",
            "Every replica of access reads all its events before it answers",
            needs.access_start,
            of.start,
            f"a start takes {start}",
            "As with identity.",
        ),
        Wall(
            "access, memory of each replica",
            "Every replica of access knows every permission",
            needs.access_memory,
            of.host,
            f"{host} are full",
            "As with identity.",
        ),
        Wall(
            "... start, from the streams",
            "A gateway without a file reads everybody",
            needs.start_from_streams,
            of.start,
            f"a start takes {start}",
            "The file. A new machine has none: it could be given another gateway's.",
        ),
        Wall(
            "... start, from a kept view",
            "A gateway reads its file",
            needs.start_from_file,
            of.start,
            f"a start takes {start}",
            "Whatever makes the view smaller.",
        ),
        Wall(
            "... memory of each, the view",
            "Every gateway has the whole view, and a child that writes it may have it again",
            2 * needs.view + needs.connections,
            of.host,
            f"{host} are full",
            "Gateways of a region, which know who may charge there. Permissions are told by"
            " site already; cards are not, and would have to follow their people. Less: entries"
            " without names, with no more than a decision needs"
            f" ({_bytes(one.found)} of {_bytes(one.identification)}).",
        ),
        Wall(
            "... memory of each, the view",
            "Every gateway has the whole view, and keeps no file",
            needs.view + needs.connections,
            of.host,
            f"{host} are full",
            "As where it keeps one.",
        ),
        Wall(
            "NATS, of the busiest hour to write SESSIONS",
            "One stream takes every start, every end and every reading",
            needs.writing * of.headroom,
            1,
            "all of the busiest hour is written in, on one server",
            "Two copies more, as in production, take longer. A stream for each region; readings in"
            " one of their own; or no batch: a batch makes files in the server, which one message"
            " does not.",
        ),
        Wall(
            "NATS, memory of each server",
            "A nats-server knows every subject of its streams",
            needs.nats,
            of.host,
            f"{host} are full after {kept}",
            "Marks of starts and ends that expire once no charger sends them again; streams of"
            " regions on servers of their own.",
        ),
        Wall(
            "... and until CHARGERS is told of it",
            "CHARGERS is told that all are back",
            needs.told_of_return,
            of.start,
            f"it takes {start}",
            "Each gateway forgets what it cannot tell soon enough, and counts that. A stream for"
            " each region.",
        ),
        Wall(
            "... of a core in each, to follow all sessions",
            "Every gateway follows the sessions of all",
            needs.following * of.headroom,
            1,
            "a core is busy with it",
            "Readings in a stream of their own; gateways of a region.",
        ),
        Wall(
            "commands a second",
            "Commands are saved one after the other",
            needs.changes * of.headroom,
            one.commands,
            f"as many a second as {_number(one.commands)} of four writers",
            "Nothing has to.",
        ),
    )


def _opening(needs: Needs, met: Sequence[Wall]) -> str:
    of = needs.of
    first, second, third = met[:3]
    said = "; ".join(
        f"{_within(each.name)} (**{_number(each.at(of.chargers))} chargers**)"
        for each in (second, third)
    )
    return _lines(
        "# How far it goes",
        "",
        _text(
            f"What {_exactly(of.chargers)} chargers and {_exactly(of.identifications)}"
            " identifications need, and what is in the way. Nobody has run that: it is computed,"
            " in proportion, from [what was measured](performance.md) of thousands of chargers and"
            " up to a million identifications, and from [what is assumed](#what-is-assumed)."
            " `python -m benchmarks.capacity` writes this page from"
            " [the last results](../benchmarks/results/latest.md), on whose machine all of it is"
            " meant; two digits of a figure count at most."
        ),
        "",
        _text(
            f"It does not go that far today. The first wall: {_within(first.name)}."
            f" With **{_number(first.at(of.chargers))} chargers**, {first.because}. Then {said}."
            " All of them are [below](#walls), with what would move each. Taps are not among them:"
            f" all chargers together keep {_number(needs.cores)} cores busy."
        ),
    )


def _in_one_table(needs: Needs, met: Sequence[Wall]) -> str:
    size = needs.of.chargers
    # Of several the first, which comes last in this order.
    at = {each.row: _number(each.at(size)) for each in reversed(met)}
    rows = [(*row, at.get(row[0], "")) for row in _needed(needs)]
    return _lines(
        _text(
            "Where nothing else is said, a size is that of each process, and the last column says"
            " for how many chargers what is needed would be there: a host of"
            f" {_size(needs.of.host)} full, a start of {_duration(needs.of.start)}, what was"
            f" measured used up, {_duration(needs.of.kept)} after the first session."
        ),
        "",
        _table(("what", "needed", "how computed", "wall at"), rows),
    )


def _needed(needs: Needs) -> Iterable[Sequence[str]]:
    of, one = needs.of, needs.one
    kept = _duration(of.kept)
    people = _number(of.people)
    return (
        (
            "gateways",
            _number(needs.gateways),
            f"{_exactly(of.connections)} connections each, and as many again to spare",
        ),
        (
            "... memory of each, the view",
            _size(needs.view),
            (
                f"identifications at {_bytes(one.identification)}, people at {_bytes(one.user)},"
                f" chargers at {_bytes(one.charger)}, locks at {_bytes(one.lock)}, running"
                f" sessions at {_bytes(one.session)}"
            ),
        ),
        (
            "... memory of each, connections",
            _size(needs.connections),
            f"{_number(needs.of_a_gateway)} chargers at {_bytes(one.connection)}",
        ),
        (
            "... cores of all, for chargers",
            _number(needs.cores),
            (
                f"{_number(needs.said)} messages a second, each as dear as an Authorize"
                f" ({one.message * 1e6:.0f} µs); {_number(needs.batches)} starts and ends, each"
                f" {one.batch * 1e6:.0f} µs more"
            ),
        ),
        (
            "... of a core in each, to follow all sessions",
            f"{needs.following:.1%}",
            (
                f"{_number(needs.at_peak(needs.session_messages))} messages a second, read at"
                f" {_number(one.replayed)}"
            ),
        ),
        (
            "... start, from the streams",
            _duration(needs.start_from_streams),
            f"identifications at {one.from_streams * 1e6:.0f} µs, with people and permissions",
        ),
        (
            "... start, from a kept view",
            _duration(needs.start_from_file),
            f"identifications at {one.from_file * 1e6:.1f} µs, {CHANGED:.0%} of them changed since",
        ),
        (
            "... start, SESSIONS where there is no file",
            _duration(_since_kept(needs)),
            (
                f"{_number(_kept_anew(needs))} messages since it was kept on the bus and those of"
                f" {_duration(UNSEEN)} of the busiest hour, read at {_number(one.replayed)}/s; and"
                f" what is kept, {_size(of.identifications * KEPT)}, which was not measured"
            ),
        ),
        (
            "... until all chargers are back",
            _duration(needs.all_back),
            f"{_number(needs.of_a_gateway)} at each gateway, {_number(one.returning)} a second",
        ),
        (
            "... and until CHARGERS is told of it",
            _duration(needs.told_of_return),
            f"{of.states_a_return} events each, {_number(one.messages)} a second",
        ),
        (
            "NATS, memory of each server",
            _size(needs.nats),
            (
                f"subjects of IDENTITY {_size(needs.identity_at_nats)}, of SESSIONS after {kept}"
                f" {_size(needs.sessions_at_nats)} ({_bytes(one.marks)} a session), listeners"
                f" {_size(needs.listeners_at_nats)} ({_bytes(one.listener)} each)"
            ),
        ),
        (
            "NATS, disk of each server",
            _size(needs.identity_disk + needs.sessions_disk),
            (
                f"IDENTITY {_size(needs.identity_disk)}, SESSIONS after {kept}"
                f" {_size(needs.sessions_disk)}"
            ),
        ),
        (
            "NATS, of the busiest hour to write SESSIONS",
            f"{needs.writing:.0%}",
            (
                f"{_number(needs.batches)} starts and ends a second, of {_number(one.batches)} that"
                f" were measured, and {_number(needs.other_messages)} other messages, of"
                f" {_number(one.messages)}"
            ),
        ),
        (
            "NATS, until transaction ids end",
            _duration(of.kept / needs.transaction_ids),
            f"{_number(needs.session_messages)} sequences a day, of 2³¹",
        ),
        (
            "access, memory of each replica",
            _size(needs.access_memory),
            f"{people} permissions at {_bytes(one.access_memory)}",
        ),
        (
            "identity, memory of each replica",
            _size(needs.identity_memory),
            f"identifications at {_bytes(one.identity_memory)}, their people with them",
        ),
        (
            "access, start",
            _duration(needs.access_start),
            f"{_number(needs.access_events)} events, read at {_number(one.access_rate)}/s",
        ),
        (
            "identity, start",
            _duration(needs.identity_start),
            f"{_number(needs.identity_events)} events, read at {_number(one.identity_rate)}/s",
        ),
        (
            "commands a second",
            f"{needs.changes:.1f}",
            (
                f"{of.changes_a_year:g} a person and year, at the busiest hour; measured are"
                f" {_number(one.commands)}"
            ),
        ),
        (
            "PostgreSQL, events",
            _size(needs.access_rows + needs.identity_rows),
            (
                f"permissions, with {kept} of changes at {_bytes(one.permission_rows)};"
                f" identifications at {_bytes(one.card_rows)}"
            ),
        ),
        (
            f"PostgreSQL, history of {kept}",
            _size(needs.history_rows),
            (
                f"{_number(needs.kept_sessions)} sessions and {of.refused:.0%} as many refusals at"
                f" {_bytes(one.history_rows)}"
            ),
        ),
    )


def _since_kept(needs: Needs) -> float:
    """Return the seconds for what SESSIONS got since it was kept, where that is most."""
    unseen = needs.at_peak(needs.session_messages) * UNSEEN
    return (_kept_anew(needs) + unseen) / needs.one.replayed


def _kept_anew(needs: Needs) -> int:
    """Return after how many messages of SESSIONS what is kept of it is kept anew."""
    return max(MANY, needs.of.identifications * KEPT // BYTES_A_MESSAGE)


def _gateways(needs: Needs) -> str:
    of, one = needs.of, needs.one
    an_identification = needs.view / of.identifications
    room = of.host - needs.connections
    alone, beside = room / an_identification, room / an_identification / 2
    return _lines(
        _text(
            "**By connections and by work they divide.** A gateway more takes its share of"
            f" chargers; {_number(needs.gateways)} of them are a quiet crowd, for heartbeats"
            f" ({_number(of.chargers / Limits().heartbeat_interval)} a second) and meters are most"
            f" of what is said, and a tap is rare: all of it is worth {_number(needs.cores)} cores."
            f" One gateway that is lost leaves {_number(needs.of_a_gateway)} chargers to the"
            " others, which is nothing to them; where all lost theirs, each has them back in"
            f" {_duration(needs.all_back)}. CHARGERS needs"
            f" {_duration(needs.told_of_return)} to be told of it, and a gateway drops what waits"
            " too long."
        ),
        "",
        _text(
            "**By what they know they do not.** Every gateway has all of the view, whoever is"
            f" connected to it: {_size(needs.view)} in each, {_size(needs.view * needs.gateways)}"
            " in all of them, for the same facts. Of each identification, with its share of"
            " people, chargers and sessions, that is"
            f" {_bytes(an_identification)}. A host of {_size(of.host)} with one"
            f" gateway is full at {_number(alone)} identifications. The child that keeps the view"
            " in a file shares its parent's pages until either writes to them; in the worst case"
            f" it needs as much again, and then {_number(beside)} fill the host. Two"
            " gateways on one host share nothing."
        ),
        "",
        _text(
            f"There, with {_number(beside)} identifications, a start from the streams takes"
            f" {_duration(beside * one.from_streams)}, and one from a kept view"
            f" {_duration(beside * one.from_file)}. Meanwhile that gateway lets no charger in;"
            " the others go on."
        ),
        "",
        _text(
            "**Without its file a start does not read all of SESSIONS**, which is kept for good."
            " The sessions that run, the locks of identifications and which site has seen which"
            " card are on the bus ([decision"
            " 43](adr/0043-what-sessions-has-told-is-kept-on-the-bus.md)): a gateway that writes a"
            f" file keeps them there once {_number(_kept_anew(needs))} messages have come since"
            f" they were. It looks every {_duration(UNSEEN)}, so {_duration(_since_kept(needs))} of"
            " reading are left at the busiest hour, and to read what is kept,"
            f" {_size(of.identifications * KEPT)}, which was not measured at that size. Where no"
            " gateway writes a file, or none has kept anything yet that this version reads, a start"
            " reads all of it: the whole size writes"
            f" {_number(needs.session_messages)} messages a day, of which a gateway reads"
            f" {_number(one.replayed)} in a second. So each day of use makes such a start"
            f" {_duration(needs.start_sessions / (of.kept / DAY))} longer, and {_exactly(FEWER)}"
            f" chargers make it {_duration(needs.start_sessions * FEWER / of.chargers)} within"
            f" {_duration(of.kept)}."
        ),
    )


def _nats(needs: Needs) -> str:
    of, one = needs.of, needs.one
    a_day = needs.sessions_disk / (of.kept / DAY)
    return _lines(
        _text(
            "**Disk** can be bought: IDENTITY is"
            f" {_size(needs.identity_disk)}, SESSIONS grows by {_size(a_day)} a day, on each server"
            " that has a copy."
        ),
        "",
        _text(
            "**Memory** is the trouble. A nats-server knows every subject of a stream. An"
            f" identification has {one.stream_subjects:g}; a session leaves two that are never"
            " used again, the marks that keep a start and an end from counting twice:"
            f" {_bytes(one.marks)}, which is {_size(needs.sessions * one.marks)} a day."
            " Listening for every connected charger is a subject each as well, and takes"
            f" {_size(needs.listeners_at_nats)}: servers of a cluster tell each other, so that each"
            " knows all."
        ),
        "",
        _text(
            "**Writing** is one stream's, and a stream has one leader. A start and an end are"
            f" atomic batches: {_number(one.batches)} a second were stored, each synced to the disk"
            f" ({one.batch_at_nats * 1e3:.1f} ms of the server's CPU), where ordinary messages came"
            f" to {_number(one.messages)}. The busiest hour wants {_number(needs.batches)} and"
            f" {_number(needs.other_messages)}"
            f" of these, which is {needs.writing:.0%} of it. Two more copies were not measured."
        ),
        "",
        _text(
            "**Numbers.** Sequences of SESSIONS are the transaction ids of OCPP 1.6, which end at"
            f" 2³¹. At {_number(needs.session_messages)} messages a day they are used up"
            f" {_duration(of.kept / needs.transaction_ids)} after the first session."
        ),
    )


def _stores(needs: Needs) -> str:
    of, one = needs.of, needs.one
    return _lines(
        _text(
            "**Commands** are few: people come, cards are lost, access is given. At the busiest"
            f" hour {needs.changes:.1f} a second, of {_number(one.commands)} that were measured. To"
            " bring everybody in is another matter: identity alone has"
            f" {_number(of.people + of.identifications)} commands to be told, which is"
            f" {_duration(needs.filling)} at that rate."
        ),
        "",
        _text(
            "**Rows** are many and small. PostgreSQL keeps"
            f" {_size(needs.access_rows + needs.identity_rows)} of events, and"
            f" {_size(needs.history_rows)} a year in history, unless it is told to forget. History"
            f" writes {_number(one.history_rate)} sessions a second where it has 500 at once; the"
            f" busiest hour has {_number(needs.at_peak(needs.sessions))}."
        ),
        "",
        _text(
            "**What services know of it** is what counts. access and identity answer lists and"
            " names from memory, which each replica makes from all events when it starts:"
            f" {_size(needs.identity_memory)} and {_duration(needs.identity_start)} of identity,"
            f" {_size(needs.access_memory)} and {_duration(needs.access_start)} of access."
        ),
        "",
        _text(
            "**The notifier** writes what a partner is told of once for each partner: a start, an"
            f" end and {_number(needs.readings)} readings a session,"
            f" {_number(needs.sessions * (2 + needs.readings))} events a day where each site has"
            " one partner. What such an event takes was not measured. They go after their time of"
            " retention."
        ),
    )


def _walls(of: Assumed, met: Sequence[Wall]) -> str:
    rows = [
        (
            f"{number}. {each.name}",
            _number(each.at(of.chargers)),
            _number(each.at(of.chargers) * of.identifications / of.chargers),
            each.because,
            each.moved_by,
        )
        for number, each in enumerate(met, 1)
    ]
    headings = ("wall", "chargers", "identifications", "there", "what would move it")
    return _lines(
        _text(
            "The first first; each as if the others were not there, and with"
            f" {_number(of.identifications / of.chargers)} identifications a charger. Whoever has"
            " fewer meets those that come with identifications later, and those that come with"
            " sessions where they stand. Of what would move them nothing is built but the file of"
            " the view, which in Kubernetes goes with its pod."
        ),
        "",
        _table(headings, rows),
        "",
        _text(
            "Regions come up again and again: a gateway, a SESSIONS and a nats-server for each,"
            " over one access and one identity. A charger stands in one region for good, so its"
            " sessions do. What spans regions is a person, who wants to charge in all of them, and"
            " the lock that keeps a card from charging twice: within a region it stays what it is,"
            " between them it would be a question to another one, or be given up."
        ),
    )


def _assumed(of: Assumed) -> str:
    rows = (
        ("chargers, all connected", _exactly(of.chargers)),
        ("identifications", _exactly(of.identifications)),
        ("cards a person, and permissions of each, users in the view", f"{of.cards_a_person}, 1"),
        ("chargers a site", "10"),
        (
            "sessions a charger and day; each lasts",
            f"{of.sessions_a_day:g}; {of.session_hours:g} h",
        ),
        ("taps that are refused, for each session", f"{of.refused:g}"),
        (
            "sessions that run at once, at most",
            f"{of.charging_at_once:.0%} of chargers",
        ),
        (
            "the busiest hour of a day, in one time zone",
            f"{of.busiest_hour:.0%} of it: {of.busiest_hour * 24:.1f} times the mean",
        ),
        ("a heartbeat each", f"{Limits().heartbeat_interval} s (the default)"),
        ("a meter's reading each, while a session runs", f"{of.reading_seconds} s"),
        (
            "... of which SESSIONS is told one each",
            f"{_duration(SELDOM / 1e9)} (the gateway's own)",
        ),
        ("other states told by a charger around a session", str(of.states_a_session)),
        ("... and when it is back", str(of.states_a_return)),
        ("identifications that have charged at some time", "all"),
        ("changes of a person's access and cards", f"{of.changes_a_year:g} a year"),
        ("streams, history and changes are kept for", f"{_duration(of.kept)}, none is shortened"),
        ("SESSIONS was made", f"{of.began}, and counts from the seconds since 2020"),
        ("connections a gateway's process", _exactly(of.connections)),
        ("headroom of connections and rates", f"{of.headroom:g} times; memory has none"),
        ("memory of a host", _size(of.host)),
        ("a start may take", _duration(of.start)),
        ("any message of a charger costs", "what an Authorize does"),
    )
    return _table(("what", "taken as"), rows)


def _within(name: str) -> str:
    """Return it as it stands within a sentence."""
    return name if name.startswith("OCPP") else f"{name[0].lower()}{name[1:]}"


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"


def _lines(*lines: str) -> str:
    return "\n".join(lines)


def _text(text: str) -> str:
    """Return it in lines of at most a hundred letters."""
    lines, line = [], ""
    for word in re.findall(r"`[^`]*`\S*|\S+", text):
        if len(line) + 1 + len(word) > 100:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".lstrip()
    return "\n".join([*lines, line])


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _exactly(number: float) -> str:
    return f"{number:,.0f}"


def _number(number: float) -> str:
    """Return two digits of it, and what they count: so much is known of it."""
    rounded = float(f"{number:.2g}")
    for unit, name in ((1e12, " trillion"), (1e9, " billion"), (1e6, " million")):
        if rounded >= unit:
            return f"{rounded / unit:.3g}{name}"
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


def _bytes(size: float) -> str:
    """Return what one takes."""
    return f"{size:,.0f} B" if size < 10_000 else f"{size / 1024:.0f} KiB"


def _size(size: float) -> str:
    """Return what all take."""
    for unit, name in ((1024 * GIB, "TiB"), (GIB, "GiB")):
        if size >= unit:
            return f"{float(f'{size / unit:.2g}'):g} {name}"
    return f"{float(f'{size / 2**20:.2g}'):g} MiB"


def _duration(seconds: float) -> str:
    for unit, name in ((YEAR, "year"), (DAY, "day"), (HOUR, "hour"), (60, "minute"), (1, "second")):
        if seconds >= unit:
            number = float(f"{seconds / unit:.2g}")
            return (
                f"{'an' if name == 'hour' else 'a'} {name}"
                if number == 1
                else f"{number:g} {name}s"
            )
    return "less than a second"


if __name__ == "__main__":
    main()
