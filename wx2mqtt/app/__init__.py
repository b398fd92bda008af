"""The composition root: settings in, objects wired, everything run and stopped in order."""
