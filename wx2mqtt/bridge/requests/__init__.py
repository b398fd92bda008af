"""Requests: `bridge/request/<name>`, answered on `bridge/response/<name>`.

`dispatcher.py` has one request with its answer, and finds its handler. Handlers: `handlers.py` has those that
read or control the bridge, `actions.py` those that change something at WeChat, run by `action_runner.py`. The
request `media` is in `bridge/media/media_request.py`. `send` and `recall` are commands (`bridge/commands`).
"""
