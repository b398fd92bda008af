"""Tests of `wx2mqtt.web`; the application is asked without a socket."""
