"""Machine-readable descriptions of all topics: JSON Schemas of the payloads, and an AsyncAPI document."""
