"""What the owner wants: the configuration as values, and how it is read and checked."""
