"""What other services' events make the notifier do; one file each."""
