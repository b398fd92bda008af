"""The command line: what people type, and the exit codes."""
