"""YOLO's text files: one a photo, one line an object, with data.yaml or Darknet's lists beside them."""
