"""Scoring detections: boxes, masks and keypoints, by any protocol, over one matching engine."""
