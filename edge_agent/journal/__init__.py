"""The journal: every entry, its key, when it is durable, and what is still to be sent."""
