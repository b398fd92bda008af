"""WeChat's web servers and a phone, simulated: for the demo, for tests, and for other people's clients.

Written from the protocol (docs/en/development), not from the client of this package: it must not import
`wx2mqtt.wechat`, `wx2mqtt.mqtt`, `wx2mqtt.store`, `wx2mqtt.bridge` or `wx2mqtt.model`.
"""
