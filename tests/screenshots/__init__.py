"""The pictures of the documentation, made from the running programs: `make screenshots`."""
