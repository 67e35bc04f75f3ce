"""Objectives as text: what parses to what, and errors that point at the place."""

import contextlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid import explain
from pellucid.errors import PellucidError
from pellucid.explain.expressions import parse_objective
from pellucid.explain.forward import objective_values
from pellucid.explain.subject import Subject

from .networks import Small, random_image

A, B = explain.channel("conv1", 2), explain.channel("conv2", 1)


def value(objective: explain.Objective) -> torch.Tensor:
    subject = Subject(Small().double(), random_image(2).double())
    return objective_values(subject, subject.frame, [objective])[:, 0]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("conv1:2", A),
        ("  conv1:2  ", A),
        ("conv1:2 + 0.5*conv2:1", A + 0.5 * B),
        ("conv1:2-conv2:1", A - B),
        ("2*conv1:2*3", 6 * A),
        ("-conv1:2/4", -0.25 * A),
        ("-(conv1:2 - conv2:1)*2", -2 * (A - B)),
        ("1e-1*conv1:2", 0.1 * A),
        ("conv1:2@3,-1", explain.neuron("conv1", 2, 3, -1)),
        ("conv1:2@", explain.neuron("conv1", 2)),
        ("conv2", explain.layer("conv2")),
        ("logit:3", explain.class_logit(3)),
        ("conv1:2 + logit:3 - logit: 1 ", A + explain.class_logit(3) - explain.class_logit(1)),
        ("conv1:2 - conv2:1 + conv2:1", A),
    ],
)
def test_means_what_the_functions_mean(text, same):
    torch.testing.assert_close(value(parse_objective(text)), value(same))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("logit:tiger cat", "tiger cat"),
        ("logit:black-and-tan coonhound", "black-and-tan coonhound"),
        ("logit:bull's eye", "bull's eye"),
        ("logit:'a + b (c)'", "a + b (c)"),
        ('logit:"it\'s"', "it's"),
    ],
)
def test_class_names_are_read_whole(text, name):
    objective = parse_objective(text)
    assert (objective.text, objective.probability is not None) == (name, True)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", 1, "expected a layer"),
        ("conv1:", 7, "number of a channel"),
        ("conv1:-1", 7, "number of a channel"),
        ("conv1:2 +", 10, "expected a layer"),
        ("conv1:2 conv2:1", 9, "expected +, -, * or the end"),
        ("(conv1:2", 9, "expected )"),
        ("conv1:2)", 8, "expected +, -, * or the end"),
        ("conv1:2/0", 9, "cannot divide by 0"),
        ("conv1:2*conv2:1", 9, "expected a number"),
        ("0.5", 1, "a number stands here alone"),
        ("logit:", 7, "expected a class"),
        ("blocks.*:3", 7, "expected +"),
        ("(" * 60 + "a:1" + ")" * 60, 52, "brackets"),
    ],
)
def test_errors_point_at_the_place(text, place, message):
    with pytest.raises(PellucidError) as raised:
        parse_objective(text)
    assert f"at character {place}," in str(raised.value)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@given(st.text(alphabet="ab.:#@,()+-*/ 0123456789'\"logit", max_size=40))
def test_any_text_parses_or_is_refused(text):
    with contextlib.suppress(PellucidError):
        parse_objective(text)
