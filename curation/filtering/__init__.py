"""Named rules over stored scores: what they keep and why, asked of the catalogue without decoding."""
