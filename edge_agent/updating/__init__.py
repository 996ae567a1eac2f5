"""Model bundles: fetch, verify, try, keep or fall back."""
