"""The papers' experiments: scaling coefficients, single axes against compound, architecture search, latency tables."""
