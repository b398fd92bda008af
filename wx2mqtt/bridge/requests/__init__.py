"""Requests to the bridge by name, and their answers."""
