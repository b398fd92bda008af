"""`wx2mqtt setup`: asks a few questions and writes a configuration and a systemd service."""
