"""Tests that kill a process at the worst moments and look at what is left."""
