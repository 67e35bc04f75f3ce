"""ImageNet: the layouts of the ILSVRC challenges."""
