"""`wx2mqtt check --connect`: examines the broker and the WeChat hosts."""
