"""Parts of detectors that have no weights: anchors, box coding, matching, sampling, suppression, proposals."""
