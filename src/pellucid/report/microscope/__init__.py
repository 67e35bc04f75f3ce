"""The microscope: a static site that shows every unit of a network's layers."""

from pellucid.report.microscope.build import Built, build_microscope

__all__ = ["Built", "build_microscope"]
