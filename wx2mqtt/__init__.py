"""wx2mqtt: a bridge between a personal WeChat account and MQTT."""

__version__ = "0.1.0"
