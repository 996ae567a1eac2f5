"""Model inputs computed from NumPy arrays by the same code on the edge and in the centre."""
