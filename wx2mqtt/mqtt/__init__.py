"""MQTT: the table of topics, payloads, and the client of the broker.

Citations such as (mqtt 0.1) are statements of docs/en/development/mqtt.md.
"""
