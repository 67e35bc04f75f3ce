"""Detectors of two stages: regions are proposed, and each is classified and outlined by heads of its own."""
