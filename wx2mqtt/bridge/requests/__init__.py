"""Requests: `bridge/request/<name>`, answered on `bridge/response/<name>`.

- `dispatcher.py` has one request with its answer, and finds its handler.
- `account_requests.py` has the handlers that read or control the bridge, `history_request.py` that of
  `history`, `bridge/media/media_request.py` that of `media`.
- `action_requests.py` has those that change something at WeChat, carried out by `action_runner.py`.
- `app/application.py` has those of the whole program.

`send` and `recall` are commands (`bridge/commands`).
"""
