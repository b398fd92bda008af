"""Recognises people across logins, so that a topic level always stands for the same person."""
