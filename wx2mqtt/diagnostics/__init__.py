"""`wx2mqtt check --connect`: checks the broker and the hosts of WeChat."""
