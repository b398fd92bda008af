"""`make chaos`: seeded runs of the whole bridge under failures, and a judge that shares no code with it."""
