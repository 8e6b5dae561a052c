"""The five losses as pure functions (ring 1)."""
