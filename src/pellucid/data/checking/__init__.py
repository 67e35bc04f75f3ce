"""Checking a data set: every defect in one pass, with its file, its item and its remedy."""

from pellucid.data.checking.check import check_dataset
from pellucid.data.checking.report import Report

__all__ = ["Report", "check_dataset"]
