"""Commands: messages that clients ask the bridge to send, from the MQTT delivery to the published result.

Intake: `intake.py` accepts a delivery, `validation.py` checks it, `attachment_intake.py` stores its file
and keeps the order. Sending: `sender.py` is the loop over the `queues.py`, `resolver.py` finds recipient and
content, `attempts.py` fetches a url and asks WeChat. When a command is sent or
given up: `rate_limit.py`, `hold.py`, `expiry.py`, `fallback.py`. The end: `completion.py`, `results.py`.

The fields of a command are those of `model.Command`; `mqtt/commands.py` reads them from a payload.
"""
