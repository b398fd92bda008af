"""What stands on the topics, for machines: JSON Schemas of all payloads, and an AsyncAPI document."""
