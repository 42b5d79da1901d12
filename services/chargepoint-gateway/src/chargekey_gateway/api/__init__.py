"""What the outside reaches: chargers by WebSocket, other services by gRPC."""
