"""Objectives written as text: ``blocks.3.1:42 + 0.5*logit:tabby``.

expression  =  term { ("+" | "-") term }
term        =  [ "-" ] [ NUMBER "*" ] atom { ("*" | "/") NUMBER }
atom        =  "(" expression ")"
            |  "logit:" CLASS            a class by name or index; quotes around a name that holds * or ) or " + "
            |  LAYER ":" CHANNEL         a channel, averaged over its positions
            |  LAYER ":" CHANNEL "@" [Y "," X]     one of its units, the middle one where no position is given
            |  LAYER                     the whole layer: the mean of its squares
"""

import re
from typing import NoReturn

from pellucid.errors import PellucidError
from pellucid.explain.objectives import Objective, channel, class_logit, layer, neuron

_NUMBER = re.compile(r"\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?")
_FACTOR = re.compile(rf"({_NUMBER.pattern})\s*\*")
_LAYER = re.compile(r"[^\W\d]?[\w.]*\w(?:#\d+)?|\w")
_QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'")
_BARE_CLASS = re.compile(r"(?:(?!\s[+-]\s)[^*)])+")
_POSITION = re.compile(r"@(?:\s*(-?\d+)\s*,\s*(-?\d+))?")
_DEEPEST = 50


def parse_objective(text: str) -> Objective:
    """The objective that a text means; see this module's grammar.

    Layers, channels and classes are looked up when the objective is evaluated. Raises PellucidError, pointing at the
    place, for a text that does not parse.
    """
    reader = _Reader(text)
    objective = reader.expression()
    reader.skip_spaces()
    if not reader.at_end():
        reader.fail("expected +, -, * or the end")
    return objective


class _Reader:
    """Reads one text from left to right; ``at`` is how far it has come."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def fail(self, expected: str) -> NoReturn:
        shown = f"{self.text[: self.at]}►{self.text[self.at :]}"
        raise PellucidError(f"objective '{shown}': at character {self.at + 1}, {expected}")

    def at_end(self) -> bool:
        return self.at >= len(self.text)

    def skip_spaces(self) -> None:
        while not self.at_end() and self.text[self.at].isspace():
            self.at += 1

    def take(self, sign: str) -> bool:
        self.skip_spaces()
        found = self.text.startswith(sign, self.at)
        self.at += len(sign) if found else 0
        return found

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def expression(self) -> Objective:
        total = self.term()
        while True:
            if self.take("+"):
                total = total + self.term()
            elif self.take("-"):
                total = total - self.term()
            else:
                return total

    def term(self) -> Objective:
        negative = self.take("-")
        self.skip_spaces()
        factor = self.match(_FACTOR)
        objective = self.atom()
        if factor:
            objective = float(factor[1]) * objective
        while True:
            if self.take("*"):
                objective = objective * self.number()
            elif self.take("/"):
                start = self.at
                divisor = self.number()
                if divisor == 0:
                    self.at = start
                    self.fail("cannot divide by 0")
                objective = objective / divisor
            else:
                return -objective if negative else objective

    def number(self) -> float:
        self.skip_spaces()
        found = self.match(_NUMBER)
        if not found:
            self.fail("expected a number; objectives are multiplied by numbers alone")
        return float(found[0])

    def atom(self) -> Objective:
        if self.take("("):
            self.depth += 1
            if self.depth > _DEEPEST:
                self.fail(f"more than {_DEEPEST} brackets inside each other")
            inside = self.expression()
            if not self.take(")"):
                self.fail("expected )")
            self.depth -= 1
            return inside
        self.skip_spaces()
        if self.text.startswith("logit:", self.at):
            self.at += len("logit:")
            return class_logit(self.class_name())
        return self.layer_or_unit()

    def class_name(self) -> str:
        self.skip_spaces()
        quoted = self.match(_QUOTED)
        bare = None if quoted else self.match(_BARE_CLASS)
        name = (quoted[1] or quoted[2] or "") if quoted else bare[0].strip() if bare else ""
        if not name:
            self.fail("expected a class, by name or index, after 'logit:'")
        return name

    def layer_or_unit(self) -> Objective:
        start = self.at
        found = self.match(_LAYER)
        if not found:
            self.fail("expected a layer such as 'blocks.3.1:42', a class such as 'logit:tabby', or a bracket")
        name = found[0]
        if not self.text.startswith(":", self.at):
            if _NUMBER.fullmatch(name) and name.count(".") == 1:
                self.at = start
                self.fail(f"a number stands here alone; multiply something by it, as in '{name}*logit:tabby'")
            return layer(name)
        self.at += 1
        index = self.match(re.compile(r"\s*(\d+)"))
        if not index:
            self.fail(f"expected the number of a channel of '{name}', counted from 0")
        position = self.match(_POSITION)
        if not position:
            return channel(name, int(index[1]))
        if position[1] is None:
            return neuron(name, int(index[1]))
        return neuron(name, int(index[1]), int(position[1]), int(position[2]))
