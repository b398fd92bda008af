"""MQTT: topics and payloads as data, and the doors to brokers."""
