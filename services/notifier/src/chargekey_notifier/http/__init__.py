"""What is answered over HTTP: the pull door of the feeds, OCPI, and mails' unsubscribe links."""
