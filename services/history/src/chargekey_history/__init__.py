"""The queryable past: sessions and refusals."""
