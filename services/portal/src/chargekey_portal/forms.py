"""The fields of forms, as the browser sends them; what they mean, the services say."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import Depends, Form, Request
from pydantic import Field

# What the wire carries.
LARGEST = 2**31 - 1

IN_RANGE = Field(ge=0, le=LARGEST)

Text = Annotated[str, Form()]
Number = Annotated[int, Form(ge=0, le=LARGEST)]
# A tick box: only one that is ticked is sent.
Ticked = Annotated[bool, Form()]


class PeopleSearch(msgspec.Struct, frozen=True):
    """Whom somebody looks for, and behind which page."""

    text: str
    after: str


async def _people_search(request: Request, after: str = "") -> PeopleSearch:
    # By POST alone: names and addresses of people stand in no address of ours.
    if request.method != "POST":
        return PeopleSearch("", after)
    form = await request.form()
    return PeopleSearch(str(form.get("search", "")), str(form.get("after", "")))


ForPeople = Annotated[PeopleSearch, Depends(_people_search)]
