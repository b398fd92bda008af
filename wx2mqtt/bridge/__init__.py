"""The bridge: everything that happens to a message between WeChat and MQTT.

It knows the interfaces of the backends, of the MQTT client and of the store, but no implementation. Start
with `account.py`.
"""
