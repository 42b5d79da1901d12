"""What other services' events make access do; one file each."""
