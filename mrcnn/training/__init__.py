"""Assembly and training (ring 2: reads Config)."""
