"""`wx2mqtt setup`: from a few questions to a configuration that passes `check`, and a service."""
