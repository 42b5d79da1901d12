"""Mails: what waits to be sent, what is written, and how it goes out."""
