"""What access's events make identity do; one file each."""
