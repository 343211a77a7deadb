"""Bytes on a link and back: frames, values, functions, the proof of a password. No sockets here."""
