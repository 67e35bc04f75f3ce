"""Search: the photos of a data set in which each channel, class or objective is strongest."""

from pellucid.explain.search.crops import crop, crops
from pellucid.explain.search.found import Found, Hit
from pellucid.explain.search.ranking import Ranking
from pellucid.explain.search.searching import search

__all__ = ["Found", "Hit", "Ranking", "crop", "crops", "search"]
