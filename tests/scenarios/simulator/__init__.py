"""The simulator over real HTTP, asked by a client that was written from the protocol."""
