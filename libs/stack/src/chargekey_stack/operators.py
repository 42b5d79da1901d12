"""What people are told about the operators that manage their sites."""

from __future__ import annotations

from chargekey.access.v1 import installations_pb2 as pb
from chargekey_stack.client import Client


async def silent_operator(client: Client, installation_id: str) -> str:
    """Return what to do where the operator that decides cannot be asked; "" where it can."""
    found = await client.installations.GetInstallation(
        pb.GetInstallationRequest(installation_id=installation_id)
    )
    site = found.installation
    external = site.authentication_type == pb.AUTHENTICATION_TYPE_EXTERNAL
    if not external or not site.HasField("managed_by") or site.managed_by.answers:
        return ""
    operator = site.managed_by
    return (
        f"Nobody can charge there until {operator.name} can be asked: it connects by OCPI"
        f" (chargekey ocpi offer {operator.partner_id}) or says where it answers"
        f" (chargekey partner decision-endpoint set {operator.partner_id})."
    )
