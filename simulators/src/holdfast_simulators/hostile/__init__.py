"""A charge point that has been taken over: what it sends, as data, and a program that sends it."""
