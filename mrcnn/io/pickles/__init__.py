"""Reading pickles without running them."""
