"""The gRPC services: requests to commands, states to answers, and nothing between."""
