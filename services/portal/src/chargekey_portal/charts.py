"""Bars over time, worked out for a drawing of WIDTH by HEIGHT; the template draws them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

WIDTH, HEIGHT = 600, 160
GAP = 0.2  # of a bar's room


class Bar(msgspec.Struct, frozen=True):
    """One bar, from its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    value: int


def bars(values: Sequence[int]) -> Sequence[Bar]:
    """Return a bar for each value, the highest as high as the drawing; none below nothing."""
    highest = max(values, default=0)
    if highest <= 0:
        return []
    room = WIDTH / len(values)
    return [
        Bar(
            x=round(number * room + room * GAP / 2, 2),
            y=round(HEIGHT - HEIGHT * max(value, 0) / highest, 2),
            width=round(room * (1 - GAP), 2),
            height=round(HEIGHT * max(value, 0) / highest, 2),
            value=value,
        )
        for number, value in enumerate(values)
    ]
