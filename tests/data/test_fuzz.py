"""A few hundred of the broken data sets of ``fuzzing``: each is read, or refused in one line."""

from collections import Counter
from itertools import islice

from .fuzzing import trials


def test_broken_data_sets_are_read_or_refused_in_one_line(tmp_path):
    outcomes = Counter()
    for name, what, outcome in islice(trials(1, tmp_path), 250):
        assert "\n" not in outcome, f"{name}: {what}\n{outcome}"
        outcomes[outcome] += 1
    # The mutations must bite, or nothing is tested.
    assert outcomes["refused"] > 10
    assert outcomes["defects noted"] > 20
