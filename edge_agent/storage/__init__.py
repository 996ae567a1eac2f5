"""Files that survive a power cut: opening SQLite, schemas and migrations, small durable state."""
