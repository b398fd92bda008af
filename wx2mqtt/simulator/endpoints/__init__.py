"""The calls that a web client makes, grouped by what they are for; one function each."""
