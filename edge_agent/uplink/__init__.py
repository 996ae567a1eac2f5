"""The way to the centre: one MQTT connection, what goes over it, and when it counts as done."""
