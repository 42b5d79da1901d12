"""The settings of chargers that bear on authorisation: values alone."""

from __future__ import annotations

import pytest

from chargekey_gateway.reconcile import charger_settings
from chargekey_gateway.reconcile.charger_settings import USUAL_PORTION, Limits

from .conftest import Site


@pytest.mark.parametrize(
    ("told", "limits"),
    [
        ({}, Limits(None, USUAL_PORTION)),
        ({"LocalAuthListMaxLength": "500", "SendLocalListMaxLength": "20"}, Limits(500, 20)),
        ({"LocalAuthListMaxLength": "0", "SendLocalListMaxLength": "many"}, Limits()),
        ({"LocalAuthListCtrlr.ItemsPerMessage": " 30 "}, Limits(None, 30)),
        (
            {
                "LocalAuthListCtrlr.ItemsPerMessage": "30",
                "LocalAuthListCtrlr.BytesPerMessage": "2560",
            },
            Limits(None, 10),
        ),
        ({"LocalAuthListCtrlr.BytesPerMessage": "100"}, Limits(None, 1)),
    ],
)
def test_a_charger_says_how_much_of_a_list_it_takes(told: dict[str, str], limits: Limits) -> None:
    """O30."""
    assert charger_settings.limits(told) == limits


@pytest.mark.parametrize("version", ["1.6", "2.0.1", "2.1"])
def test_whoever_is_unknown_may_charge_offline_where_anybody_may_or_the_site_says_so(
    version: str,
) -> None:
    """O33."""
    name = {"1.6": "AllowOfflineTxForUnknownId"}.get(
        version, "AuthCtrlr.OfflineTxForUnknownIdEnabled"
    )
    site = Site()
    charger = site.charger()
    before = charger_settings.digest(version, charger)
    assert charger_settings.wanted(version, charger)[name] == "false"
    site.policies(offline_unknown_ids=True)
    assert charger_settings.wanted(version, charger)[name] == "true"
    assert charger_settings.digest(version, charger) != before
    site.policies()
    assert charger_settings.digest(version, charger) == before
    site.restricted(required=False)
    assert charger_settings.wanted(version, charger)[name] == "true"


def test_what_is_right_in_other_letters_is_right() -> None:
    """O33."""
    wish = {"A": "true", "B": "0", "C": "false"}
    told = {"A": " TRUE ", "B": "1"}
    assert charger_settings.to_change(wish, told) == [("B", "0")]
