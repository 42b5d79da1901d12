"""The settings of a charger: 1.6's configuration keys, 2.x's variables, and what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum, StrEnum, auto

import msgspec


class Meaning(Enum):
    """What a setting is about, whatever a version calls it."""

    AUTHORIZATION = auto()  # whether anything must be presented at all
    PRE_AUTHORIZE = auto()
    AUTHORIZE_OFFLINE = auto()
    UNKNOWN_OFFLINE = auto()
    AUTHORIZE_REMOTE_STARTS = auto()
    CACHE = auto()
    LIST = auto()
    LIST_CAPACITY = auto()
    LIST_COUNT = auto()
    LIST_MOST_AT_ONCE = auto()
    STOP_ON_INVALID = auto()
    MESSAGE_ATTEMPTS = auto()
    MESSAGE_INTERVAL = auto()
    OTHER = auto()


class Changed(StrEnum):
    """What became of a change; `UNKNOWN` is NotSupported in 1.6, and more exact in 2.x."""

    ACCEPTED = "Accepted"
    REJECTED = "Rejected"
    REBOOT_REQUIRED = "RebootRequired"
    UNKNOWN = "NotSupported"


class Setting(msgspec.Struct, frozen=True):
    """A setting as a charger leaves the factory; `reboot`: a change counts after the next boot."""

    name: str
    value: str
    meaning: Meaning = Meaning.OTHER
    readonly: bool = False
    reboot: bool = False


class Told(msgspec.Struct, frozen=True):
    """A setting as it is told."""

    name: str
    value: str
    readonly: bool


class Settings:
    """The settings of one charger; names are told apart whatever their case."""

    def __init__(self, others: Mapping[str, str], settings: tuple[Setting, ...]) -> None:
        """Begin with `settings`, and with other values for those named in `others`."""
        self._settings = {each.name.casefold(): each for each in settings}
        self._values = {key: each.value for key, each in self._settings.items()}
        for name, value in others.items():
            self._values[self._settings[name.casefold()].name.casefold()] = value
        self._at_boot: dict[str, str] = {}
        self._keys: dict[Meaning, str] = {
            each.meaning: key
            for key, each in self._settings.items()
            if each.meaning is not Meaning.OTHER
        }

    def __getitem__(self, name: str) -> str:
        return self._values[name.casefold()]

    def __iter__(self) -> Iterator[Told]:
        for key, each in self._settings.items():
            yield Told(each.name, self._values[key], each.readonly)

    def find(self, name: str) -> Told | None:
        """Return a setting, if there is one of this name."""
        key = name.casefold()
        setting = self._settings.get(key)
        if setting is None:
            return None
        return Told(setting.name, self._values[key], setting.readonly)

    def on(self, meaning: Meaning) -> bool:
        """Return whether something is switched on; what a version does not know is not."""
        key = self._keys.get(meaning)
        return key is not None and self._values[key] == "true"

    def number(self, meaning: Meaning) -> int:
        """Return a number."""
        return int(self._values[self._keys[meaning]])

    def note(self, meaning: Meaning, value: int) -> None:
        """Take note of what the charger itself says, where this version says it."""
        if meaning in self._keys:
            self._values[self._keys[meaning]] = str(value)

    def change(self, name: str, value: str) -> Changed:
        """Change a setting as the gateway asks; switches and numbers stay such."""
        key = name.casefold()
        setting = self._settings.get(key)
        if setting is None:
            return Changed.UNKNOWN
        if setting.value in {"true", "false"}:
            value = value.lower()
        if setting.readonly or not _fits(setting.value, value):
            return Changed.REJECTED
        if setting.reboot and value != self._values[key]:
            self._at_boot[key] = value
            return Changed.REBOOT_REQUIRED
        self._values[key] = value
        return Changed.ACCEPTED

    def boot(self) -> None:
        """Let count what waited for a boot."""
        self._values |= self._at_boot
        self._at_boot.clear()


def _fits(factory: str, value: str) -> bool:
    if factory in {"true", "false"}:
        return value in {"true", "false"}
    return not factory.isdecimal() or (value.isascii() and value.isdecimal())
