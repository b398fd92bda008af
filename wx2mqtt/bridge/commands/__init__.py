"""Commands: from an MQTT delivery to WeChat, and the result back."""
