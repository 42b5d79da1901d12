"""Webhooks: partners' feeds posted to them, signed as Standard Webhooks says."""
