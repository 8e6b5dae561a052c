"""From photographs to network input and from network output back to photographs."""
