"""The chargekey command: the whole system on one machine, and its command line."""
