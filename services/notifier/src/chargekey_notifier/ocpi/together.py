"""OCPI put together: what is answered to operators, and what is done for their connections."""

from __future__ import annotations

from grpc import aio
from starlette.routing import BaseRoute

from chargekey_common.database import Database
from chargekey_common.outgoing import Outgoing
from chargekey_notifier.ocpi import commands, lists, pushed_tokens
from chargekey_notifier.ocpi.calls import Calls
from chargekey_notifier.ocpi.charging import Charging
from chargekey_notifier.ocpi.commands import Commands
from chargekey_notifier.ocpi.configuration import Configuration
from chargekey_notifier.ocpi.connecting import Connecting
from chargekey_notifier.ocpi.http import Door
from chargekey_notifier.ocpi.keeping import Keeping
from chargekey_notifier.ocpi.lists import Lists
from chargekey_notifier.ocpi.messages import Party
from chargekey_notifier.ocpi.objects import Objects
from chargekey_notifier.ocpi.peers import Peers
from chargekey_notifier.ocpi.pushed_tokens import PushedTokens
from chargekey_notifier.ocpi.pushing import Pushing
from chargekey_notifier.ocpi.starts import Starts
from chargekey_notifier.ocpi.tables import RECEIPTS
from chargekey_notifier.ocpi.telling import Teller
from chargekey_notifier.ocpi.tokens import Tokens
from chargekey_notifier.receipts import Receipts
from chargekey_notifier.sealing import Seal


class Ocpi:
    """Every part, for `party`; belongs to one event loop."""

    def __init__(
        self,
        database: Database,
        secret: bytes,
        outgoing: Outgoing,
        party: Party,
        *,
        access: aio.Channel,
        gateway: aio.Channel,
        public_url: str,
        currency: str,
    ) -> None:
        """Keep all in `database`, sealed under `secret`; addresses begin with `public_url`.

        `currency` is ISO 4217's name of the one that sessions are told in.
        """
        seal = Seal(secret, b"ocpi")
        receipts = Receipts(database, RECEIPTS, Seal(secret, b"ocpi commands"))
        self.peers = Peers(database, seal)
        self.tokens = Tokens(database, seal, secret)
        self.starts = Starts(database, Seal(secret, b"ocpi starts"))
        charging = Charging(gateway, self.tokens.reference)
        self.calls = Calls(outgoing, party)
        self.keeping = Keeping(
            self.peers, self.tokens, receipts, self.calls, charging, access, party
        )
        self.connecting = Connecting(
            self.peers,
            receipts,
            self.calls,
            party,
            public_url=public_url,
            changed=self.keeping.changed,
        )
        self.door = Door(self.peers, public_url=public_url)
        self.commands = Commands(self.door, charging, self.calls, self.starts)
        self._pushed_tokens = PushedTokens(self.door, self.tokens, charging, party)
        self.objects = Objects(database)
        teller = Teller(party, currency, self.tokens, self.starts)
        self.pushing = Pushing(self.objects, self.peers, self.calls, teller)
        self._lists = Lists(self.door, self.objects, teller)
        modules = (*pushed_tokens.MODULES, *commands.MODULES, *lists.MODULES)
        self._configuration = Configuration(self.door, self.peers, self.connecting, modules)

    def routes(self) -> list[BaseRoute]:
        """Return where operators are answered."""
        return [
            *self._configuration.routes(),
            *self._pushed_tokens.routes(),
            *self.commands.routes(),
            *self._lists.routes(),
        ]
