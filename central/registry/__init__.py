"""What was trained, what it scored, and which version is champion. The only door to MLflow."""
