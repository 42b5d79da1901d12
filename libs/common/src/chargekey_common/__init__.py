"""What every Chargekey service stands on."""
