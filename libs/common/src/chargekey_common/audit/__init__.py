"""Whether a service's stream tells what its store holds, and what was done about a thing."""
