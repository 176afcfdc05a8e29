"""Data consistency, regularisers, attention and the networks built from them."""
