"""Forms that replace something whole: each carries what it was made from.

So nobody replaces what somebody else has set meanwhile, unseen: the service refuses it, and the
form is shown again with what was typed, and with what was set meanwhile where nothing was.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec
from google.protobuf import json_format
from google.protobuf.message import Message

from chargekey_portal.refusals import MALFORMED, Refusal, RefusedError

# What services refuse it by.
CHANGED = "changed_meanwhile"

Whole = TypeVar("Whole", bound=Message)


class Form(msgspec.Struct, Generic[Whole], frozen=True):
    """What a form shows: `typed`; and what it was made from, as `instead_of` carries it.

    A message without others in it.

    `before` is what it was made from until somebody else has set it to what it is `now`: the
    same, where nobody has.
    """

    typed: Whole
    instead_of: str
    before: Whole
    now: Whole


def fresh(now: Whole) -> Form[Whole]:
    """Return the form of what is there."""
    return Form(now, _carried(now), now, now)


def kept(typed: Whole, instead_of: str) -> Form[Whole]:
    """Return the form with what was typed, made from what it was made from."""
    before = read(type(typed), instead_of)
    return Form(typed, instead_of, before, before)


def again(now: Whole, typed: Whole, instead_of: str, refusal: Refusal) -> Form[Whole]:
    """Return the form after a refusal; who was told what is there now, replaces that."""
    form = kept(typed, instead_of)
    if refusal.code != CHANGED:
        return form
    return Form(_merged(form.before, typed, now), _carried(now), form.before, now)


def read(kind: type[Whole], instead_of: str) -> Whole:
    """Return what a form was made from; raises RefusedError."""
    try:
        return json_format.Parse(instead_of, kind())
    except json_format.ParseError:
        raise RefusedError(MALFORMED) from None


def _merged(before: Whole, typed: Whole, now: Whole) -> Whole:
    """Return what was typed, or what is there now where nothing was; of a set each by itself."""
    merged = type(typed)()
    for field in typed.DESCRIPTOR.fields:
        name = field.name
        was, mine, theirs = (getattr(each, name) for each in (before, typed, now))
        if field.is_repeated:
            chosen = {
                each
                for each in {*was, *mine, *theirs}
                if each in (theirs if (each in mine) == (each in was) else mine)
            }
            getattr(merged, name).extend(sorted(chosen))
        else:
            setattr(merged, name, theirs if mine == was else mine)
    return merged


def _carried(whole: Message) -> str:
    return json_format.MessageToJson(whole, indent=None)
