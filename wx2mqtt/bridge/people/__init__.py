"""Recognises people across logins, so that a topic name always stands for the same person."""
