"""What the process says to those who run it: logs, systemd, the control socket."""
