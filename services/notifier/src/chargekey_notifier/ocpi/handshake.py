"""Getting to know an operator's server: its versions, and what it answers in ours (§6, §7)."""

from __future__ import annotations

from chargekey_notifier.errors import (
    OcpiEndpointsMissingError,
    OcpiRefusedError,
    OcpiVersionMissingError,
)
from chargekey_notifier.ocpi.calls import Calls, WrongEncodingError
from chargekey_notifier.ocpi.messages import (
    VERSION,
    BusinessDetails,
    Credentials,
    CredentialsRole,
    Module,
    Party,
    Version,
    VersionDetails,
)
from chargekey_notifier.ocpi.peers import Credential, Registration

CREDENTIALS = "credentials"


def own(party: Party, *, public_url: str, token: str) -> Credentials:
    """Return our side: who we are, and what to call us with."""
    role = CredentialsRole(
        role="CPO",
        business_details=BusinessDetails(name=party.name),
        party_id=party.party_id,
        country_code=party.country_code,
    )
    return Credentials(token=token, url=f"{public_url}/ocpi/versions", roles=(role,))


async def known(
    calls: Calls, partner_id: str, url: str, credential: Credential
) -> tuple[Credential, list[Module]]:
    """Return how the token has to be sent, and what the server at `url` answers in our version.

    Tries both ways, the given one first: some systems still take it plain. Raises
    OcpiUnreachableError, OcpiRefusedError, OcpiVersionMissingError, OcpiEndpointsMissingError.
    """
    try:
        told = await calls.call(partner_id, "GET", url, credential)
    except WrongEncodingError:
        credential = Credential(credential.token, encoded=not credential.encoded)
        told = await calls.call(partner_id, "GET", url, credential)
    there = (each.url for each in told.read(list[Version]) if each.version == VERSION)
    details_url = next(there, None)
    if details_url is None:
        raise OcpiVersionMissingError
    details = (await calls.call(partner_id, "GET", details_url, credential)).read(VersionDetails)
    modules = list(details.endpoints)
    if not any(each.identifier == CREDENTIALS for each in modules):
        raise OcpiEndpointsMissingError
    return credential, modules


async def answered(
    calls: Calls, partner_id: str, credentials: Credentials, *, encoded: bool
) -> Registration:
    """Return the registration of whoever has sent these credentials; raises what `known` does."""
    credential, modules = await known(
        calls, partner_id, credentials.url, Credential(credentials.token, encoded=encoded)
    )
    return Registration(
        credential=credential,
        versions_url=credentials.url,
        roles=credentials.roles,
        modules=tuple(modules),
    )


async def register(
    calls: Calls, partner_id: str, url: str, credential: Credential, mine: Credentials
) -> Registration:
    """Register at the server whose versions are at `url`; raises what `known` does."""
    credential, modules = await known(calls, partner_id, url, credential)
    where = next(each.url for each in modules if each.identifier == CREDENTIALS)
    told = await calls.call(partner_id, "POST", where, credential, mine)
    theirs = told.read(Credentials)
    if theirs.token == mine.token:
        detail = "It gave our own token back."
        raise OcpiRefusedError(detail)
    return Registration(
        credential=Credential(theirs.token, encoded=credential.encoded),
        versions_url=theirs.url,
        roles=theirs.roles,
        modules=tuple(modules),
    )
