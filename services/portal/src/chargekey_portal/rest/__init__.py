"""REST: JSON over HTTP for programs, a table over the services' methods."""
