"""Bring the catalogues of the portal's languages up to date, or check that they are (`--check`).

What pages say comes from templates and from what is marked `N_`; what services refuse comes from
their errors, each under its code. Translations stay; what nobody says any more goes.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po, write_po

from chargekey_common.errors import ChargekeyError
from chargekey_portal import refusals as own_refusals

ROOT = Path(__file__).resolve().parent.parent
PORTAL = ROOT / "services" / "portal" / "src" / "chargekey_portal"
SERVICES = ("access", "common", "gateway", "history", "identity", "notifier")


def said() -> Catalog:
    """Return everything that can be said, in English."""
    catalog = Catalog()
    extracted = extract_from_dir(
        PORTAL,
        method_map=[("templates/**.html", "jinja2"), ("**.py", "python")],
        options_map={"templates/**.html": {"newstyle_gettext": "true"}},
        keywords={**DEFAULT_KEYWORDS, "N_": None},
    )
    for _, _, message, _, context in extracted:
        catalog.add(message, context=context)
    for error in sorted(set(refusals()), key=lambda each: each.code):
        catalog.add(error.sentence, context=error.code)
    for refusal in vars(own_refusals).values():
        if isinstance(refusal, own_refusals.Refusal):
            catalog.add(refusal.message, context=refusal.code)
    return catalog


def refusals() -> Iterator[type[ChargekeyError]]:
    """Yield every error that has a code and a sentence."""
    for service in SERVICES:
        package = importlib.import_module(f"chargekey_{service}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".testing" not in module.name:
                importlib.import_module(module.name)
    waiting = [ChargekeyError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if hasattr(kind, "code") and hasattr(kind, "sentence"):
            yield kind


def updated(path: Path) -> bytes:
    """Return the catalogue as it should be."""
    catalog = read_po(BytesIO(path.read_bytes()), locale=path.parents[1].name)
    catalog.update(said(), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    written = BytesIO()
    write_po(written, catalog, no_location=True, omit_header=True, sort_output=True, width=100)
    header = path.read_bytes().partition(b"\n\n")[0]
    return header + b"\n\n" + written.getvalue().strip() + b"\n"


def untranslated(path: Path) -> list[str]:
    """Return what the catalogue has no translation of."""
    catalog = read_po(BytesIO(path.read_bytes()), locale=path.parents[1].name)
    return [
        str(message.id)
        for message in catalog
        if message.id and not all(message.string if message.pluralizable else [message.string])
    ]


def main() -> None:
    """Write them, or say which is not as it should be."""
    check = "--check" in sys.argv[1:]
    for path in sorted(PORTAL.glob("locales/*/LC_MESSAGES/portal.po")):
        wanted = updated(path)
        if not check:
            path.write_bytes(wanted)
        elif path.read_bytes() != wanted:
            sys.exit(f"{path.relative_to(ROOT)} is not up to date: make messages")
        missing = untranslated(path)
        if missing and check:
            sys.exit(f"{path.relative_to(ROOT)} lacks {len(missing)}: {missing[0]!r} ...")
        print(f"{path.relative_to(ROOT)}: {len(missing)} to translate")


if __name__ == "__main__":
    main()
