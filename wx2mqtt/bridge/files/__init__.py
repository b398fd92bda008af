"""The files that commands send: from where they come, what they are, how they are called."""
