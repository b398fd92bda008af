"""The meaning: what happens to a message in either direction. Knows interfaces only."""
