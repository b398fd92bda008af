"""Commands: messages that clients ask the bridge to send, from the MQTT delivery to the published result.

Intake: `intake.py` accepts a delivery, `validation.py` checks it, `acceptance.py` stores its file, keeps the
order and stores the command. A repeat is told from a used id by `bridge/repeats.py`.

Sending: `sender.py` is the loop over the chats and asks `next_step.py` what to do, `resolver.py` finds
recipient and content, `file_preparation.py` fetches and uploads files, `send_attempts.py` asks WeChat and
stores what becomes of it, `results.py` makes the results, `outcomes.py` counts them.

When a command may be sent is decided in `send_limits.py`. With iLink it may wait for the reply window
(`window_wait.py`) and share a message (`combined_messages.py`). `fallback.py` sends an urgent one by another
service. Commands of a chat keep their order (`chat_queue.py`, `waiting_commands.py`).

Words that all files use:
- *row*: a command as it is stored (`CommandRow`).
- *attempt*: one call of WeChat for a command. Its *begin* is stored before. It is *unanswered* if WeChat gave
  no answer to it: the command is *in doubt*, since the message may have arrived.
- *begun*: the begin of the next attempt is stored already, its call is not made yet.
- *leading*: the first command of a combined message, which stands for the others, its *members*.
- *reply target*: a topic that gets the result.

The fields of a command are those of `model.Command`; `mqtt/commands.py` reads them from a payload.
"""
