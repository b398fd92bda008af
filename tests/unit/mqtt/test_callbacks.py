"""An exception of a listener ends nothing, and the log does not show its text."""

from __future__ import annotations

from wx2mqtt.mqtt.callbacks import notify, raised_at


def test_an_exception_of_a_listener_is_logged_with_its_origin_and_without_its_message(capsys):
    def raises():
        raise RuntimeError("geheim")

    notify(raises)
    output = capsys.readouterr().out
    assert "RuntimeError" in output
    assert "test_callbacks.py" in output
    assert "geheim" not in output


def test_the_origin_of_an_exception_is_file_and_line():
    try:
        raise KeyError("x")
    except KeyError as error:
        assert raised_at(error).startswith(__file__)
