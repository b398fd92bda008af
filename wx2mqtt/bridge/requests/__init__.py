"""Requests: `bridge/request/<name>`, answered on `bridge/response/<name>`.

`dispatcher.py` finds the handler of a request and stores its answer. Handlers: `handlers.py` has the
table of those that read or control the bridge (`history.py` is one of them), `actions.py` the table of
those that change something at WeChat (run by `action_runner.py` on the people or groups that it finds).
The request `media` is in `bridge/media/request.py`. `send` and `recall` are commands (`bridge/commands`).
"""
