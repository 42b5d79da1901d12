"""Write docs/who-may-do-what.md from the rules of access; `--check` only compares."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from chargekey_access.domain.rules import RULES, Rule

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "who-may-do-what.md"

_HEAD = """\
# Who may do what

Everything that can be asked of Chargekey, and who may. Generated from
`services/access/.../domain/rules.py`, which is what decides (`make rules` writes this page
anew). What is not ticked is refused.

- **Owner, User, Service, Operator**: people, and partners' programs, by the roles they hold
  at that installation or charger, themselves or as a member of a partner.
- **also**: *oneself*, where it is about oneself or one's own; *host*, where it is about
  somebody who holds something at a site that one owns or operates; *member* and *manager* of
  the partner it is about; *guest*, where it is about a site at a charger of which one holds
  something; *offered*, where it is about a site that is offered to one; *parted*, where it is
  about oneself, or about somebody at a site that one owns or operates, and that person holds
  nothing there any more; *everybody* who is signed in, where it is about nobody else;
  *anybody*, signed in or not.
- **managed**: at a site that an operator manages, *operator* means that the operator alone
  may, and *operator, own* that everybody still may what is his own. Erasing a local user is
  his site's owner's there, too: a person's right to be forgotten comes first.
- **services**: which parts of Chargekey ask for it themselves.

Administrators may everything, except what an operator alone may where it manages the site.
Of those who grant, owners of a site give and take every role, owners of a charger USER and
OWNER there, and operators USER.
"""
_TITLES = {
    "access": "Sites, chargers, permissions, partners",
    "identity": "People and what they present",
    "gateway": "Chargers right now",
    "audit": "What was changed",
    "history": "What happened at chargers",
}
_ROLES = ("OWNER", "USER", "SERVICE", "OPERATOR")
_ALSO = {
    "SELF": "oneself",
    "HOST": "host",
    "MEMBER": "member",
    "MANAGER": "manager",
    "GUEST": "guest",
    "OFFEREE": "offered",
    "PARTED": "parted",
}


def document() -> str:
    """Return the whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD.rstrip()
    for service, title in _TITLES.items():
        yield ""
        yield f"## {title}"
        yield ""
        yield "| | Owner | User | Service | Operator | also | managed | services |"
        yield "|---|:-:|:-:|:-:|:-:|---|---|---|"
        for action, rule in RULES.items():
            of, _, method = action.partition(".")
            if of == service:
                yield _row(method, rule)


def _row(method: str, rule: Rule) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", method).capitalize()
    also = [name for word, name in _ALSO.items() if word in rule.words]
    also += ["everybody"] if rule.everybody else []
    also += ["anybody"] if rule.anybody else []
    managed = "operator" if rule.edits_access else ""
    cells = [
        f"{words}",
        *("x" if role in rule.words else "" for role in _ROLES),
        ", ".join(also),
        f"{managed}, own" if rule.own_excepted else managed,
        ", ".join(sorted(rule.services)),
    ]
    return f"| {' | '.join(cells)} |".replace("  ", " ")


def main() -> None:
    """Write it, or exit with 1 where what is written is another."""
    if sys.argv[1:] == ["--check"]:
        if DOCUMENT.read_text(encoding="utf-8") != document():
            print("docs/who-may-do-what.md is not what the rules say: make rules")
            sys.exit(1)
        return
    DOCUMENT.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
