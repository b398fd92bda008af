"""wx2mqtt: a bridge between a personal WeChat account and MQTT."""

__version__ = "0.2.0"

# The address of the project. As long as none is published it is one that nobody can have (RFC 2606);
# `make address` writes the real one here and into every file that names it.
REPOSITORY = "https://repository.invalid/wx2mqtt"
