"""The simulator over real HTTP, called by a client that was written from the protocol."""
