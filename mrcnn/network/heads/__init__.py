"""The three heads: region proposals, boxes and masks (ring 1)."""
