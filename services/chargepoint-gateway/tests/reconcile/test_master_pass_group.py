"""Chargers of OCPP 2.x are told in which group somebody may stop and not start (C16)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from nats.aio.client import Client

from chargekey_common.published import access
from chargekey_gateway.commands import ChangeSetting, Command, Outcome, Result
from chargekey_gateway.reconcile.confirmed import Confirmed

from .conftest import Replica, Site, StandardCharger

GROUP = "AuthCtrlr.MasterPassGroupId"
NewReplica = Callable[..., Replica]
MASTER_PASS_ELSEWHERE = access.PoliciesSet(
    installation_id="elsewhere",
    on_block="STOP",
    on_revoke="FINISH",
    on_operator_timeout="DENY",
    master_pass=True,
    pin_length=4,
)


class Fixed:
    """A charger with one setting, where the site wants master passes, and its reconciler."""

    def __init__(self, new_replica: NewReplica, version: str = "2.0.1", **settings: str) -> None:
        self.site = Site()
        self.site.policies(master_pass=True)
        self.replica = new_replica(self.site)
        self.charger = StandardCharger(self.site.charger(), version)
        self.charger.settings = dict(settings)

    async def connect(self) -> bool:
        self.replica.reconciler.connected(self.charger)
        return await self.settled()

    def changes(self) -> list[ChangeSetting]:
        return [each for each in self.charger.sent if isinstance(each, ChangeSetting)]

    async def settled(self) -> bool:
        await self.replica.settled()
        return self.replica.confirmed.knows_master_pass(self.charger.charger)


class WantedAgain(StandardCharger):
    """One whose answer to the clearing is lost, when its site wants master passes again."""

    def __init__(self, site: Site) -> None:
        super().__init__(site.charger(), "2.0.1")
        self._site = site

    async def carry_out(self, command: Command) -> Result:
        result = await super().carry_out(command)
        if not isinstance(command, ChangeSetting) or command.value:
            return result
        self._site.policies(master_pass=True)
        return Result(outcome=Outcome.TIMED_OUT)


@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
async def test_a_charger_that_has_the_setting_is_told_its_sites_group(
    new_replica: NewReplica, version: str
) -> None:
    """O33: and another one where it is moved."""
    fixed = Fixed(new_replica, version, **{GROUP: ""})
    assert await fixed.connect()
    assert fixed.charger.settings == {GROUP: "site"}
    fixed.site.tell(MASTER_PASS_ELSEWHERE)
    fixed.site.tell(
        access.ChargerMoved(
            charger_id="first", installation_id="elsewhere", from_installation_id="site"
        )
    )
    assert not fixed.replica.confirmed.knows_master_pass(fixed.charger.charger)
    assert await fixed.settled()
    assert fixed.charger.settings == {GROUP: "elsewhere"}


async def test_until_it_has_told_again_a_charger_that_booted_has_forgotten_it(
    new_replica: NewReplica,
) -> None:
    fixed = Fixed(new_replica, **{GROUP: "site"})
    assert await fixed.connect()
    fixed.charger.settings = {}
    fixed.replica.reconciler.booted(fixed.charger.charger)
    assert not fixed.replica.confirmed.knows_master_pass(fixed.charger.charger)
    assert not await fixed.settled()


async def test_a_charger_without_it_or_that_refuses_it_is_not_taken_for_one_with(
    new_replica: NewReplica,
) -> None:
    assert not await Fixed(new_replica).connect()
    assert not await Fixed(new_replica, "1.6", LocalPreAuthorize="false").connect()
    refusing = Fixed(new_replica, **{GROUP: ""})
    refusing.charger.refuses = {GROUP}
    assert not await refusing.connect()
    later = Fixed(new_replica, **{GROUP: ""})
    later.charger.needs_reboot = {GROUP}
    assert not await later.connect()
    later.replica.reconciler.booted(later.charger.charger)
    assert await later.settled()


@pytest.mark.parametrize(("has", "sent"), [({}, []), ({GROUP: ""}, []), ({GROUP: "old"}, [""])])
async def test_where_the_site_wants_none_a_group_that_is_there_is_cleared(
    new_replica: NewReplica, has: dict[str, str], sent: list[str]
) -> None:
    """O33: whoever set it; nothing is sent to a charger that has none."""
    fixed = Fixed(new_replica, **has)
    fixed.site.policies()
    assert not await fixed.connect()
    assert [each.value for each in fixed.changes()] == sent
    assert fixed.charger.settings == dict.fromkeys(has, "")


async def test_a_site_that_wants_it_or_no_longer_has_its_chargers_told(
    new_replica: NewReplica,
) -> None:
    """O33, O46: off counts at once, also of a charger that keeps the group; on as it confirms."""
    fixed = Fixed(new_replica, **{GROUP: ""})
    fixed.site.policies()
    assert not await fixed.connect()
    fixed.site.policies(master_pass=True)
    assert not fixed.replica.confirmed.knows_master_pass(fixed.charger.charger)
    assert await fixed.settled()
    fixed.charger.refuses = {GROUP}
    fixed.site.policies()
    assert not fixed.replica.confirmed.knows_master_pass(fixed.charger.charger)
    assert not await fixed.settled()
    assert fixed.charger.settings == {GROUP: "site"}
    fixed.site.policies(master_pass=True)
    assert await fixed.settled()


async def test_a_group_whose_clearing_is_not_answered_is_told_again_before_it_counts(
    new_replica: NewReplica,
) -> None:
    """Else a charger that has cleared it would be told of one who may stop, and begin."""
    fixed = Fixed(new_replica, **{GROUP: ""})
    fixed.charger = WantedAgain(fixed.site)
    fixed.charger.settings = {GROUP: ""}
    assert await fixed.connect()
    fixed.site.policies()
    assert await fixed.settled()
    assert [each.value for each in fixed.changes()] == ["site", "", "site"]
    assert fixed.charger.settings == {GROUP: "site"}


def test_of_a_charger_that_nobody_heard_of_nothing_is_known() -> None:
    assert not Confirmed(Client()).knows_master_pass(Site().charger())
