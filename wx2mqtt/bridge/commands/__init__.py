"""Commands: messages that clients ask the bridge to send, from the MQTT delivery to the published result.

Intake: `intake.py` accepts a delivery, `validation.py` checks it, `attachment_intake.py` stores its file
and keeps the order. Sending: `sender.py` is the loop over the `queues.py`, `resolver.py` finds recipient and
content, `attempts.py` fetches a url and asks WeChat. The end: `completion.py`, `results.py`.

When a command is sent is decided in `CommandSender._seconds_until_sendable`: after the pause of its chat, the
rate limit (`rate_limit.py`) and, with iLink, the opening of the reply window (`hold.py`). `expiry.py` gives
it up, `fallback.py` sends an urgent one by another service. Commands of a chat keep their order
(`queues.py`).

The fields of a command are those of `model.Command`; `mqtt/commands.py` reads them from a payload.
"""
