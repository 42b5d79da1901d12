"""The enums of the wire and the words of the domain, each table in both directions."""

from __future__ import annotations

from typing import Any

from chargekey.identity.v1 import identifications_pb2 as pb
from chargekey.identity.v1 import scans_pb2
from chargekey_identity.domain.events import IdentificationStatus, IdentificationType
from chargekey_identity.domain.scan import State

TYPES: dict[int, IdentificationType] = {
    pb.IDENTIFICATION_TYPE_RFID: "RFID",
    pb.IDENTIFICATION_TYPE_PIN: "PIN",
    pb.IDENTIFICATION_TYPE_APP: "APP",
    pb.IDENTIFICATION_TYPE_VEHICLE_ID: "VEHICLE_ID",
    pb.IDENTIFICATION_TYPE_SMS: "SMS",
    pb.IDENTIFICATION_TYPE_CREDIT_CARD: "CREDIT_CARD",
}
TYPE_NUMBERS: dict[IdentificationType, Any] = {word: number for number, word in TYPES.items()}

STATUSES: dict[int, IdentificationStatus] = {
    pb.IDENTIFICATION_STATUS_ACTIVE: "ACTIVE",
    pb.IDENTIFICATION_STATUS_INACTIVE: "INACTIVE",
    pb.IDENTIFICATION_STATUS_BLOCKED: "BLOCKED",
}
STATUS_NUMBERS: dict[IdentificationStatus, Any] = {
    word: number for number, word in STATUSES.items()
}

SCAN_STATE_NUMBERS: dict[State, Any] = {
    "WAITING": scans_pb2.SCAN_STATE_WAITING,
    "PRESENT_AGAIN": scans_pb2.SCAN_STATE_PRESENT_AGAIN,
    "ADDED": scans_pb2.SCAN_STATE_ADDED,
    "EXPIRED": scans_pb2.SCAN_STATE_EXPIRED,
    "CANCELLED": scans_pb2.SCAN_STATE_CANCELLED,
    "REFUSED": scans_pb2.SCAN_STATE_REFUSED,
}
