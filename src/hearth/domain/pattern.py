"""Regular expressions of users, matched in time that grows with the text alone.

A pattern becomes an automaton whose states are made when a text first needs them, so nothing is ever tried
twice: what keeps other engines busy for hours costs no more here than any other pattern. What cannot be
matched so is refused with a sentence: references to groups, looking ahead or behind, word boundaries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

LENGTH_LIMIT: Final = 1000
DEPTH_LIMIT: Final = 50
# Steps of the automaton; counted repetitions write their part out that often.
SIZE_LIMIT: Final = 500
# States that are kept; beyond that they are made anew.
KEPT_STATES: Final = 1000

Test = Callable[[str], bool]


class PatternRefused(ValueError):
    """This is no regular expression, or none of the kind that is possible; the message says what."""


# --- what a pattern says -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class One:
    """One character that passes; `literal` when that is one only."""

    passes: Test
    literal: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """The beginning of the text, or its end."""

    is_end: bool


@dataclass(frozen=True, slots=True)
class Row:
    """Parts one after the other."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of several."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part several times; without `most` any number of times."""

    part: Part
    least: int
    most: int | None


Part = One | Place | Row | Either | Repeat

_CATEGORIES: Final[dict[str, Test]] = {
    "d": str.isdecimal,
    "w": lambda c: c.isalnum() or c == "_",
    "s": str.isspace,
}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a", "0": "\0"}
_HEX: Final = {"x": 2, "u": 4, "U": 8}


def _not(test: Test) -> Test:
    return lambda c: not test(c)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._any_case = False

    def read(self) -> Part:
        if self._text.startswith("(?i)"):
            self._any_case = True
            self._at = 4
        part = self._either()
        if self._at < len(self._text):
            raise PatternRefused("has a ')' without its '('")
        return part

    def _either(self) -> Part:
        parts = [self._row()]
        while self._next("|"):
            parts.append(self._row())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _row(self) -> Part:
        parts: list[Part] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._repeated(self._single()))
        return Row(tuple(parts))

    def _single(self) -> Part:
        char = self._take()
        if char == "(":
            return self._group()
        if char == "[":
            return One(self._class())
        if char == ".":
            return One(lambda c: c != "\n")
        if char in "^$":
            return Place(char == "$")
        if char == "\\":
            return self._escaped()
        if char in "*+?":
            raise PatternRefused(f"has a '{char}' with nothing before it to repeat; write \\{char} for the character")
        return self._literal(char)

    def _group(self) -> Part:
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise PatternRefused(f"has groups nested deeper than {DEPTH_LIMIT}")
        if self._next("?"):
            if self._next("P<"):
                end = self._text.find(">", self._at)
                if end < 0 or not self._text[self._at : end].isidentifier():
                    raise PatternRefused("has a group whose name is not ended by '>'")
                self._at = end + 1
            elif not self._next(":"):
                shown = self._text[self._at - 2 : self._at + 2]
                raise PatternRefused(
                    f"has '{shown}': groups are (...), (?:...) and (?P<name>...), and (?i) can stand at the beginning"
                )
        part = self._either()
        if not self._next(")"):
            raise PatternRefused("has a '(' without its ')'")
        self._depth -= 1
        return part

    def _escaped(self) -> Part:
        char = self._take("has a '\\' at its end")
        if char in "AZ":
            return Place(char == "Z")
        test = self._category(char)
        return One(test) if test is not None else self._literal(self._plain(char))

    def _category(self, char: str) -> Test | None:
        test = _CATEGORIES.get(char.lower())
        if test is None:
            return None
        return test if char.islower() else _not(test)

    def _plain(self, char: str) -> str:
        """Return the character that an escape stands for."""
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char in _HEX:
            digits = self._text[self._at : self._at + _HEX[char]]
            self._at += len(digits)
            try:
                return chr(int(digits, 16)) if len(digits) == _HEX[char] else chr(-1)
            except (ValueError, OverflowError):
                raise PatternRefused(f"has '\\{char}{digits}', which is no character") from None
        if char.isascii() and char.isalnum():
            raise PatternRefused(f"has '\\{char}', which is not possible here: \\d, \\w, \\s, \\A and \\Z are")
        return char

    def _class(self) -> Test:
        negated = self._next("^")
        chars: set[str] = set()
        tests: list[Test] = []
        first = True
        while first or not self._next("]"):
            begin = self._member(tests)
            first = False
            if begin is None or not (self._text.startswith("-", self._at) and self._text[self._at + 1 : self._at + 2]):
                chars.update(begin or "")
                continue
            if self._text[self._at + 1] == "]":
                chars.add(begin)
                continue
            self._at += 1
            end = self._member(tests)
            if end is None or end < begin:
                raise PatternRefused(f"has a range that begins with '{begin}' and has no end after it")
            tests.append(lambda c, begin=begin, end=end: begin <= c <= end)  # type: ignore[misc]
        found = frozenset(chars)

        def passes(c: str) -> bool:
            return c in found or any(test(c) for test in tests)

        if not self._any_case:
            return _not(passes) if negated else passes
        both: Test = lambda c: passes(c) or passes(c.lower()) or passes(c.upper())  # noqa: E731
        return _not(both) if negated else both

    def _member(self, tests: list[Test]) -> str | None:
        """Take one character of a class; None when it was a category."""
        char = self._take("has a '[' without its ']'")
        if char != "\\":
            return char
        char = self._take("has a '[' without its ']'")
        test = self._category(char)
        if test is None:
            return self._plain(char)
        tests.append(test)
        return None

    def _literal(self, char: str) -> Part:
        if self._any_case and (char.lower() != char or char.upper() != char):
            cases = frozenset((char, char.lower(), char.upper()))
            return One(cases.__contains__)
        return One(char.__eq__, char)

    def _repeated(self, part: Part) -> Part:
        least, most = 1, 1
        if self._next("*"):
            least, most = 0, -1
        elif self._next("+"):
            least, most = 1, -1
        elif self._next("?"):
            least, most = 0, 1
        else:
            counts = self._counts()
            if counts is None:
                return part
            least, most = counts
        self._next("?")  # as few as possible: what is found is the same
        if (self._at < len(self._text) and self._text[self._at] in "*+?") or self._counts() is not None:
            raise PatternRefused("repeats a repetition; put the inner one into (?:...)")
        if isinstance(part, Place):
            raise PatternRefused("repeats '^' or '$'")
        return Repeat(part, least, None if most < 0 else most)

    def _counts(self) -> tuple[int, int] | None:
        """Take `{m}`, `{m,}`, `{,n}` or `{m,n}`; other braces are plain characters."""
        if not self._text.startswith("{", self._at):
            return None
        end = self._text.find("}", self._at)
        least, comma, most = self._text[self._at + 1 : max(end, self._at + 1)].partition(",")
        if end < 0 or not (least or most) or not all(c in "0123456789" for c in least + most):
            return None
        self._at = end + 1
        few = int(least[:9] or 0)
        many = (int(most[:9]) if most else -1) if comma else few
        if 0 <= many < few:
            raise PatternRefused(f"has '{{{least},{most}}}', which ends before it begins")
        return few, many

    def _next(self, text: str) -> bool:
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _take(self, otherwise: str = "ends too early") -> str:
        if self._at >= len(self._text):
            raise PatternRefused(otherwise)
        self._at += 1
        return self._text[self._at - 1]


# --- how it is matched ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Step:
    """One step of the automaton: a character, a place, or (with neither) a way to several others."""

    passes: Test | None = None
    is_end: bool | None = None
    following: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _State:
    """Where one may be in the pattern after some text, and where each next character leads."""

    steps: tuple[int, ...]
    found: bool
    found_at_end: bool
    ways: dict[str, _State] = field(default_factory=dict)


class Pattern:
    """A pattern, searched for anywhere in a text unless it says `^` or `$`."""

    def __init__(self, text: str) -> None:
        if len(text) > LENGTH_LIMIT:
            raise PatternRefused(f"has {len(text)} characters, at most {LENGTH_LIMIT} are possible")
        self.text = text
        self.work = 0  # what searching has cost so far, in steps
        part = _Parser(text).read()
        self.prefix, rest = _prefix(part)  # every text that matches begins so
        self.is_prefix = rest and bool(self.prefix)  # and every text that begins so matches
        self.literal = _literal(part)  # it matches when this is somewhere in the text; None: it is not that simple
        self._steps = [_Step()]  # the first one is the end
        self._first = self._add(part, 0)
        self._states: dict[tuple[int, ...], _State] = {}
        self._begin = self._state({self._first}, at_begin=True)

    def search(self, text: str) -> bool:
        """Answer whether the pattern is in the text."""
        state = self._begin
        self.work += len(text) + 1
        for char in text:
            if state.found:
                return True
            if not state.steps:
                return False
            state = state.ways.get(char) or self._way(state, char)
        return state.found or state.found_at_end

    def _way(self, state: _State, char: str) -> _State:
        reached = {self._first}
        self.work += 10 * len(state.steps)
        for index in state.steps:
            step = self._steps[index]
            if step.passes is not None and step.passes(char):
                reached.update(step.following)
        way = self._state(reached, at_begin=False)
        if len(state.ways) < KEPT_STATES:
            state.ways[char] = way
        return way

    def _state(self, reached: set[int], *, at_begin: bool) -> _State:
        steps = tuple(sorted(self._closure(reached, at_begin=at_begin, at_end=False)))
        known = self._states.get(steps)
        if known is None:
            self.work += 20 * len(steps)
            at_end = self._closure(set(steps), at_begin=at_begin, at_end=True)
            known = _State(steps, 0 in steps, 0 in at_end)
            if len(self._states) >= KEPT_STATES:
                for other in self._states.values():
                    other.ways.clear()  # or each would keep those that it leads to
                self._states.clear()
            if not at_begin:  # at the beginning an end may be near that is none elsewhere
                self._states[steps] = known
        return known

    def _closure(self, reached: set[int], *, at_begin: bool, at_end: bool) -> set[int]:
        """Return the steps that wait for a character or for the end, and the end itself when it is reached."""
        found: set[int] = set()
        seen = set(reached)
        waiting = list(reached)
        while waiting:
            index = waiting.pop()
            step = self._steps[index]
            self.work += 1
            if index == 0 or step.passes is not None:
                found.add(index)
                continue
            if step.is_end is not None and not (at_end if step.is_end else at_begin):
                if step.is_end:
                    found.add(index)
                continue
            new = [one for one in step.following if one not in seen]
            seen.update(new)
            waiting.extend(new)
        return found

    def _add(self, part: Part, after: int) -> int:
        """Add the steps of a part that lead to step `after`; return the first of them."""
        if len(self._steps) > SIZE_LIMIT:
            raise PatternRefused(f"is too large: written out it has more than {SIZE_LIMIT} steps")
        match part:
            case One(passes):
                return self._new(_Step(passes=passes, following=[after]))
            case Place(is_end):
                return self._new(_Step(is_end=is_end, following=[after]))
            case Row(parts):
                for one in reversed(parts):
                    after = self._add(one, after)
                return after
            case Either(parts):
                return self._new(_Step(following=[self._add(one, after) for one in parts]))
            case Repeat(inner, least, most):
                if max(least, most or 0) > SIZE_LIMIT:
                    raise PatternRefused(f"repeats more than {SIZE_LIMIT} times")
                if most is None:
                    again = _Step(following=[after])
                    after = self._new(again)
                    again.following.append(self._add(inner, after))
                else:
                    end = after
                    for _ in range(most - least):
                        after = self._new(_Step(following=[self._add(inner, after), end]))
                for _ in range(least):
                    after = self._add(inner, after)
                return after

    def _new(self, step: _Step) -> int:
        self._steps.append(step)
        return len(self._steps) - 1


def _prefix(part: Part) -> tuple[str, bool]:
    """Return the literal text that all matches begin with, and whether nothing else is asked."""
    parts = part.parts if isinstance(part, Row) else (part,)
    if not parts or parts[0] != Place(is_end=False):
        return "", False
    text = ""
    for index, one in enumerate(parts[1:], 1):
        if isinstance(one, One) and one.literal is not None:
            text += one.literal
        else:
            return text, all(isinstance(r, Repeat) and r.least == 0 for r in parts[index:])
    return text, True


def _literal(part: Part) -> str | None:
    parts = part.parts if isinstance(part, Row) else (part,)
    letters = [one.literal if isinstance(one, One) else None for one in parts]
    return None if None in letters else "".join(letter for letter in letters if letter is not None)
