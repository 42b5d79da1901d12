"""What people have a connected charger do, from the command line to the charger and back."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from chargekey_stack.errors import ChargerRefusedError
from chargekey_stack.simulator import Make, Version, simulated_charger

from .running_system import RunningSystem
from .test_people import Site

SETTINGS = {
    "1.6": "HeartbeatInterval",
    "2.0.1": "OCPPCommCtrlr.HeartbeatInterval",
    "2.1": "OCPPCommCtrlr.HeartbeatInterval",
}
# The system's own to set.
KEPT = {
    "1.6": "LocalPreAuthorize",
    "2.0.1": "AuthCtrlr.LocalPreAuthorize",
    "2.1": "AuthCtrlr.LocalPreAuthorize",
}

# Once its connection is closed: another would be there again before anybody looks.
STAYS_AWAY = Make(back_off=(600.0,))


class Remote:
    """The command line, about one charger, from a thread of its own."""

    def __init__(self, system: RunningSystem, charger: str) -> None:
        self._system = system
        self._charger = charger

    async def __call__(self, *words: str) -> Any:
        return await asyncio.to_thread(self._system.chargekey, *words)

    async def charger(self, command: str, *words: str) -> Any:
        return await self("charger", *command.split(), self._charger, *words)

    async def is_known(self) -> None:
        """Return once the gateway has heard of the charger."""
        deadline = time.monotonic() + 20
        while await self.charger("reset") == "charger_unknown":
            assert time.monotonic() < deadline

    async def is_offline(self) -> None:
        """Return once the charger is connected no more: its connection takes a moment to close."""
        deadline = time.monotonic() + 60
        while await self.charger("trigger", "Heartbeat") != "charger_offline":
            assert time.monotonic() < deadline

    async def until(self, *words: str, give: str) -> Any:
        """Return the rows of a list once there are some: what is told elsewhere takes a moment."""
        deadline = time.monotonic() + 20
        while not (found := (await self(*words))[give]):
            assert time.monotonic() < deadline, words
        return found


async def takes_nothing_from_anybody(run: Remote, version: Version) -> None:
    """Nothing by which whoever serves the site gets at its charger, or its cards."""
    assert await run.charger("settings set", KEPT[version], "true") == "action_not_for_here"
    security = {"1.6": ("ChangeConfiguration", '{"key": "SecurityProfile", "value": "0"}')}
    variables = (
        '{"setVariableData": [{"attributeValue": "0", "component": {"name": "SecurityCtrlr"},'
        ' "variable": {"name": "SecurityProfile"}}]}'
    )
    lowering = security.get(version, ("SetVariables", variables))
    assert await run.charger("send", *lowering) == "action_not_for_here"
    certificate = {"certificateType": "CSMSRootCertificate", "certificate": "x"}
    if version == "1.6":
        certificate["certificateType"] = "CentralSystemRootCertificate"
    trusted = ("InstallCertificate", json.dumps(certificate))
    assert await run.charger("send", *trusted) == "action_not_for_here"


@pytest.mark.parametrize("version", ["1.6", "2.0.1", "2.1"])
async def test_a_charger_does_as_people_say(system: RunningSystem, version: Version) -> None:
    """R10, R22, S3-12: started from afar as oneself, and stopped again; and everything else."""
    name = f"Remote-{version}"
    site = await asyncio.to_thread(Site, system, name)
    eli = await asyncio.to_thread(site.invite, f"eli@{name.lower()}.example", "user")
    identity = f"CP-remote-{version}"
    run = Remote(system, identity)
    added = await run("charger", "add", "--installation", site.id, "--ocpp-identity", identity)
    await run.is_known()
    assert await run.charger("reset") == "charger_offline"
    url = system.ready["ocpp"]
    async with simulated_charger(
        url, identity, added["password"], version=version, make=STAYS_AWAY
    ) as charger:
        await charger.boot()
        assert (await run.charger("trigger", "StatusNotification"))["outcome"] == "accepted"
        assert await run.charger("trigger", "Nonsense") == "command_refused"
        assert (await run.charger("unlock"))["outcome"] in {"accepted", "command_refused"}
        assert (await run.charger("availability", "on"))["outcome"] == "accepted"
        assert (await run.charger("clear-cache"))["outcome"] in {"accepted", "rejected"}

        setting, kept = SETTINGS[version], KEPT[version]
        assert (await run.charger("settings set", setting, "240"))["outcome"] == "accepted"
        shown = await run.charger("settings show", setting, "Nothing.Such")
        assert shown == {"settings": [{"name": setting, "value": "240"}]}
        bearing = (await run.charger("settings show"))["settings"]
        assert kept in {each["name"] for each in bearing}

        sent = await run.charger("send", "GetLocalListVersion", "{}")
        assert sent["outcome"] == "accepted"
        assert len(sent["answer"]) == 1
        sent = await run.charger("send", "CancelReservation", '{"reservationId": 1}')
        assert sent == {"outcome": "refused", "status": "NotSupported", "answer": {}}
        assert await run.charger("send", "Heartbeat", "{}") == "action_unknown"
        assert await run.charger("send", "Reset", '{"type": "#2468"}') == "payload_invalid"
        await takes_nothing_from_anybody(run, version)

        assert await run.charger("start") == "not_a_person"
        await charger.plug_in()
        assert (await run.charger("start", "--as", eli))["outcome"] == "accepted"
        await charger.started()
        sessions = ("sessions", "list", "--charger", identity, "--running")
        [session] = await run.until(*sessions, give="sessions")
        assert session["user_id"] == eli
        assert await run.charger("start", "--as", eli) == "already_charging"
        assert (await run("charger", "stop", session["id"], "--as", eli))["outcome"] == "accepted"
        assert await charger.stopped() == "Remote"

        assert await run.charger("disconnect", "--as", eli) == "permission_denied"
        assert await run.charger("disconnect") == {}
        await run.is_offline()


async def test_a_charger_s_password_is_replaced(system: RunningSystem) -> None:
    """O49: the old one is out at once and lets nobody in; the new one stands in no file."""
    site = await asyncio.to_thread(Site, system, "Stolen")
    eli = await asyncio.to_thread(site.invite, "eli@stolen.example", "user")
    identity, url = "CP-stolen", system.ready["ocpp"]
    run = Remote(system, identity)
    added = await run("charger", "add", "--installation", site.id, "--ocpp-identity", identity)
    await run.is_known()
    async with simulated_charger(url, identity, added["password"]) as thief:
        await thief.boot()
        assert await run.charger("new-password", "--as", eli) == "permission_denied"
        replaced = await run.charger("new-password")
        assert set(replaced) == {"password", "position"}
        await run.is_offline()
    with pytest.raises(ChargerRefusedError):
        async with simulated_charger(url, identity, added["password"]):
            pass
    async with simulated_charger(url, identity, replaced["password"]) as charger:
        await charger.boot()
    passwords = {added["password"].encode(), replaced["password"].encode()}
    for file in system.data.rglob("*"):
        if file.is_file():
            assert not [each for each in passwords if each in file.read_bytes()], file


async def test_a_session_whose_charger_is_gone_is_ended_in_the_books(
    system: RunningSystem,
) -> None:
    """R21, R22: and its user may charge elsewhere."""
    site = await asyncio.to_thread(Site, system, "Gone")
    eli = await asyncio.to_thread(site.invite, "eli@gone.example", "user")
    zoe = await asyncio.to_thread(site.invite, "zoe@gone.example", "user")
    run = Remote(system, "CP-remote-gone")
    added = await run(
        "charger", "add", "--installation", site.id, "--ocpp-identity", "CP-remote-gone"
    )
    await run.is_known()
    async with simulated_charger(
        system.ready["ocpp"], "CP-remote-gone", added["password"]
    ) as charger:
        await charger.boot()
        await charger.plug_in()
        assert (await run.charger("start", "--as", eli))["outcome"] == "accepted"
        await charger.started()
        sessions = ("sessions", "list", "--charger", "CP-remote-gone")
        [session] = await run.until(*sessions, "--running", give="sessions")
        ended = ("charger", "end-session", session["id"])
        assert await run(*ended, "--as", zoe) == "permission_denied"
        assert await run(*ended, "--as", eli) == {}
        deadline = time.monotonic() + 20
        while (await run(*sessions, "--running"))["sessions"]:
            assert time.monotonic() < deadline
        assert await run(*ended) == "session_unknown"
