"""The fields of forms, as the browser sends them; what they mean, the services say."""

from __future__ import annotations

from typing import Annotated

from fastapi import Form
from pydantic import Field

# What the wire carries.
LARGEST = 2**31 - 1

IN_RANGE = Field(ge=0, le=LARGEST)

Text = Annotated[str, Form()]
Number = Annotated[int, Form(ge=0, le=LARGEST)]
# A tick box: only one that is ticked is sent.
Ticked = Annotated[bool, Form()]
