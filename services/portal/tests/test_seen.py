"""Forms that replace something whole, as values: what is shown after somebody else was faster."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from chargekey.access.v1 import chargers_pb2, installations_pb2
from chargekey_portal import seen
from chargekey_portal.refusals import Refusal, RefusedError

CHANGED = Refusal(HTTPStatus.CONFLICT, seen.CHANGED, "Somebody has changed this meanwhile.")
MALFORMED = Refusal(HTTPStatus.BAD_REQUEST, "pin_length_malformed", "A PIN has 4 to 8 digits.")
BEFORE = installations_pb2.Policies(on_block=1, pin_length=4)
NOW = installations_pb2.Policies(on_block=1, pin_length=6, view_bound_minutes=60)


def types(*numbers: int) -> chargers_pb2.IdentificationTypes:
    return chargers_pb2.IdentificationTypes(types=numbers)  # type: ignore[arg-type] # numbers of types


def test_a_form_carries_what_it_was_made_from() -> None:
    form = seen.fresh(BEFORE)
    assert seen.read(installations_pb2.Policies, form.instead_of) == BEFORE == form.typed
    for broken in ("", "{", '{"pinLength": "x"}', '{"another": 1}'):
        with pytest.raises(RefusedError):
            seen.read(installations_pb2.Policies, broken)


def test_what_was_typed_stays_and_what_was_not_is_as_somebody_else_has_set_it() -> None:
    typed = installations_pb2.Policies(on_block=2, pin_length=4)
    form = seen.again(NOW, typed, seen.fresh(BEFORE).instead_of, CHANGED)
    assert form.typed == installations_pb2.Policies(on_block=2, pin_length=6, view_bound_minutes=60)
    assert (form.before, form.now) == (BEFORE, NOW)
    # Who saves it again has seen it.
    assert form.instead_of == seen.fresh(NOW).instead_of


def test_where_both_were_at_the_same_what_was_typed_stays() -> None:
    typed = installations_pb2.Policies(on_block=1, pin_length=8)
    form = seen.again(NOW, typed, seen.fresh(BEFORE).instead_of, CHANGED)
    assert (form.typed.pin_length, form.now.pin_length) == (8, 6)


def test_who_named_it_after_somebody_else_had_sees_both_names() -> None:
    before, typed, now = (
        installations_pb2.RenameInstallationRequest(name=each)
        for each in ("Home", "Cabin", "House")
    )
    form = seen.again(now, typed, seen.fresh(before).instead_of, CHANGED)
    assert (form.typed.name, form.now.name) == ("Cabin", "House")


def test_of_a_set_each_is_for_itself() -> None:
    before, typed, now = types(1, 2, 3), types(1, 3, 5), types(1, 2, 4)
    form = seen.again(now, typed, seen.fresh(before).instead_of, CHANGED)
    assert form.typed == types(1, 4, 5)


def test_what_is_refused_otherwise_is_shown_as_it_was_typed() -> None:
    """Nobody was told what is there now: the next is refused as well, where it is another."""
    typed = installations_pb2.Policies(on_block=2, pin_length=3)
    form = seen.again(NOW, typed, seen.fresh(BEFORE).instead_of, MALFORMED)
    assert form.typed == typed
    assert form.now == form.before == BEFORE
    assert form.instead_of == seen.fresh(BEFORE).instead_of
