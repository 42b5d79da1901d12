"""What history can be asked about, from the streams of others."""
