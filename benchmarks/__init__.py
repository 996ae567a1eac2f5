"""Machine-readable benchmarks: each module prints one line of JSON."""
