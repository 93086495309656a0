"""Commands about prices and proofs: prices, audit, rerate."""
