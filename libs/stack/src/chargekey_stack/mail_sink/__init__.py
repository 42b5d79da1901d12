"""The mail sink: an SMTP server that keeps every mail as a file and sends none on.

`python -m chargekey_stack.mail_sink PORT DIRECTORY NATS_URL NATS_TOKEN_FILE` serves on
loopback until told to stop; each mail becomes one `.eml` file, named so that the files
sort by arrival. Mails about somebody who was erased are deleted, and none is kept any
more: their header `Chargekey-About` names the users, and IDENTITY tells of the erasure.
"""
