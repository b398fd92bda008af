"""Commands: messages that clients ask the bridge to send, from the MQTT delivery to the published result.

Intake: `intake.py` accepts a delivery, `validation.py` checks it, `attachment_intake.py` stores its file
and keeps the order. Sending: `sender.py` is the loop over the `queues.py` and asks `next_step.py` what to do,
`resolver.py` finds recipient and content, `file_preparation.py` fetches and uploads files, `attempts.py` asks
WeChat. The end:
`completion.py`, `results.py`.

When a command may be sent is decided in `send_limits.py`, for every way in which it goes out: by
`SendLimits.seconds_until_allowed` (login, rate limit, with iLink the reply window of `hold.py`) and, behind
others of its chat, by the pause of the chat. `expiry.py` gives it up, `fallback.py` sends an urgent one by
another service. Commands of a chat keep their order (`chat_queue.py`).

The fields of a command are those of `model.Command`; `mqtt/commands.py` reads them from a payload.
"""
