"""Whether a service's stream tells what its store holds, record by record."""
