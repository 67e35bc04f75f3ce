"""Selective search: boxes that may hold an object of any class, from the grouping of an image's regions."""

from pellucid.ops.selective_search.search import selective_search

__all__ = ["selective_search"]
