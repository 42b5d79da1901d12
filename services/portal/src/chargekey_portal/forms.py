"""The fields of forms, as the browser sends them; what they mean, the services say."""

from __future__ import annotations

from typing import Annotated

from fastapi import Form

# What the wire carries.
_LARGEST = 2**31 - 1

Text = Annotated[str, Form()]
Number = Annotated[int, Form(ge=0, le=_LARGEST)]
# A tick box: only one that is ticked is sent.
Ticked = Annotated[bool, Form()]
