"""The doctor (`wx2mqtt check --connect`): what the broker and WeChat would do for the bridge, by trying."""
