"""Fuzzy matching of short names: letters in their order, better at the begin of words and close together. Pure."""

import re
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def score(words: str, name: str) -> float:
    """How well a name fits what was typed: 0 for not at all, 1 for the name itself.

    All words must be found, each as letters of the name in their order (`ptq` finds *Put the queue*).
    """
    typed, name = words.lower().split(), name.lower()
    if not typed:
        return 0.0
    if typed == name.split():
        return 1.0
    found = [_of_word(word, name) for word in typed]
    return sum(found) / len(found) if all(found) else 0.0


def _of_word(word: str, name: str) -> float:
    if word == name:
        return 1.0
    at = name.find(word)
    if at >= 0:
        begins = at == 0 or not name[at - 1].isalnum()
        return (0.9 if at == 0 else 0.8 if begins else 0.6) + 0.05 * len(word) / len(name)
    if len(word) > 1 and "".join(part[0] for part in re.findall(r"\w+", name)).startswith(word):
        return 0.7  # the first letters of its words
    return _scattered(word, name)


def _scattered(word: str, name: str) -> float:
    """Letters apart: the share of them that begin a word or follow the one before, at most 0.5."""
    if len(word) < 2:
        return 0.0
    position, good = -1, 0
    for letter in word:
        begin = _begin_of_word(letter, name, position + 1)
        follows = position + 1 < len(name) and name[position + 1] == letter
        at = position + 1 if follows else begin if begin >= 0 else name.find(letter, position + 1)
        if at < 0:
            return 0.0
        good += follows or at == begin
        position = at
    return 0.5 * good / len(word) if good * 2 > len(word) else 0.0


def _begin_of_word(letter: str, name: str, start: int) -> int:
    for at in range(start, len(name)):
        if name[at] == letter and (at == 0 or not name[at - 1].isalnum()):
            return at
    return -1


def best(words: str, rows: Iterable[tuple[str, T]], *, most: int) -> list[tuple[float, T]]:
    """The best rows by their names, best first; of equals the first. `rows` are (name, thing)."""
    scored = [(score(words, name), -index, thing) for index, (name, thing) in enumerate(rows)]
    fitting = sorted((row for row in scored if row[0] > 0), key=lambda row: row[:2], reverse=True)
    return [(points, thing) for points, _, thing in fitting[:most]]
