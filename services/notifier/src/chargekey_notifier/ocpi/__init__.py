"""OCPI 2.2.1 with payment operators, as the charge point operator."""
