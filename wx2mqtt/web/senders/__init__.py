"""Commands over HTTP, from programs that do not speak MQTT (`web.senders`).

A *sender* is such a program: the configuration gives it a name, a token and the people to whom it may send.
An *interface* is a set of addresses with their own form of requests and answers: the bridge's own
(`own_interface.py`) and those of other services, which many programs speak already.
"""
