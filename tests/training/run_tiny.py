"""The command line with the tiny detector among its models; run as a process by the tests."""

import sys

from pellucid.cli.main import main
from pellucid.models.recipes import RECIPES

if __name__ == "__main__":
    RECIPES["tiny"] = "training.tiny"
    sys.argv[0] = "pellucid"
    main()
