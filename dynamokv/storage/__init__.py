"""Storage engines behind ``ports.StorageEngine``: ``memory`` (reference) and ``log`` (durable)."""
