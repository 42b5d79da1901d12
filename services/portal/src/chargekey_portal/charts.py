"""Bars over time beside their scale, worked out for a drawing of any width; the template draws it.

Downwards all is in pixels, across in percent of the width: letters are as large on a phone.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

# From above: room for half a letter, the bars, room for their labels.
_ABOVE, _BARS, _BELOW = 8, 160, 24
GAP = 0.2  # of a bar's room
# The scale has no more steps, nothing left out.
MOST_STEPS = 5
# As many labels have room beside each other, and as many on a phone.
MOST_LABELS, MOST_ON_A_PHONE = 12, 5


class Bar(msgspec.Struct, frozen=True):
    """One bar, from its upper left corner, with the middle that its label stands below."""

    x: float
    middle: float
    width: float
    y: float
    height: float
    value: int
    labelled: bool
    labelled_on_a_phone: bool


class Step(msgspec.Struct, frozen=True):
    """A line across that stands for a value."""

    y: float
    value: int


class Chart(msgspec.Struct, frozen=True):
    """Its bars, one a value, and the steps of its scale, from nothing upwards."""

    bars: Sequence[Bar]
    steps: Sequence[Step]
    height: int = _ABOVE + _BARS + _BELOW
    # Where the labels of bars stand.
    label_y: int = _ABOVE + _BARS + _BELOW - 6

    @property
    def highest(self) -> int:
        """The number of its highest bar, the first of several."""
        values = [each.value for each in self.bars]
        return values.index(max(values))


def chart(values: Sequence[int]) -> Chart | None:
    """Return a chart of these, in their order; None where none of them is above nothing."""
    highest = max(values, default=0)
    if highest <= 0:
        return None
    step = _step(highest)
    count = -(-highest // step)
    room = 100 / len(values)
    every = -(-len(values) // MOST_LABELS)
    on_a_phone = every * -(-len(values) // (MOST_ON_A_PHONE * every))

    def above(value: int) -> float:
        """How high it is drawn; nothing is below nothing."""
        return _BARS * max(value, 0) / (count * step)

    return Chart(
        bars=[
            Bar(
                x=round(number * room + room * GAP / 2, 2),
                middle=round(number * room + room / 2, 2),
                width=round(room * (1 - GAP), 2),
                y=round(_ABOVE + _BARS - above(value), 2),
                height=round(above(value), 2),
                value=value,
                labelled=number % every == 0,
                labelled_on_a_phone=number % on_a_phone == 0,
            )
            for number, value in enumerate(values)
        ],
        steps=[
            Step(y=round(_ABOVE + _BARS - above(number * step), 2), value=number * step)
            for number in range(count + 1)
        ],
    )


def _step(highest: int) -> int:
    """Return the least of 1, 2, 5, 10, 20, 50 … that MOST_STEPS reach it by."""
    power = 1
    while True:
        for each in (1, 2, 5):
            if each * power * MOST_STEPS >= highest:
                return each * power
        power *= 10
