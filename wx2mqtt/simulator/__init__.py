"""A simulator of WeChat's web servers, Tencent's iLink servers and the phone, for the demo and for tests.

It implements the protocol notes in docs/en/development and shares no code with the client: it must not import
`wx2mqtt.wechat`, `wx2mqtt.mqtt`, `wx2mqtt.store`, `wx2mqtt.bridge` or `wx2mqtt.model`.
"""
