"""Bytes of messages: fetched in the background, one at a time, never in the way of a text."""
