"""The three heads: region proposals, boxes and masks."""
