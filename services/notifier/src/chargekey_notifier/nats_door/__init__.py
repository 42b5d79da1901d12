"""The door by NATS: a stream for each partner's feed, of which it can pull and acknowledge."""
