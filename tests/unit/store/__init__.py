"""Tests of `wx2mqtt.store`, on real files."""
