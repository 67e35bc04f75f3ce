"""MS COCO's JSON: instances, keypoints, panoptic maps and results."""
