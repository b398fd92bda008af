"""MQTT to WeChat, second half: lanes, pace and attempts."""
