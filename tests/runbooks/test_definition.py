import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks import definition
from supportdesk import guide
from supportdesk.errors import Invalid

GOOD = """\
schema: 1
id: test
title: Test
description: A test.
purpose: diagnostic
owner: Tests
risk: change
params:
  minutes: {type: integer, label: Minutes, default: 5, min: 1, max: 60}
  word: {type: string, label: Word, required: false, pattern: "[a-z]*"}
steps:
  - id: one
    title: One
    uses: shell
    with:
      script: echo hello
"""


def problems(text):
    with pytest.raises(definition.DefinitionError) as error:
        definition.parse(text, name="test.yaml")
    return error.value.problems


@pytest.mark.parametrize("path", sorted((guide.FOLDER / "runbooks").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_runbook_is_valid_and_named_like_its_file(path: Path):
    assert definition.parse(path.read_text(), name=path.name).id == path.stem


def test_an_unknown_field_is_named_with_its_line():
    assert problems(GOOD.replace("      script:", "      skript:"))[-1].startswith(
        "test.yaml:16:7: steps.0.with.skript: is not known here; did you mean script?"
    )


def test_a_missing_field_is_named_with_the_line_of_its_step():
    assert problems(GOOD.replace("    title: One\n", "")) == ["test.yaml:12:5: steps.0.title: is missing"]


def test_broken_yaml_is_named_with_its_line():
    assert problems("schema: 1\nid: [\n")[0].startswith("test.yaml:3:1: not valid YAML")


def test_a_key_given_twice_is_an_error():
    assert problems(GOOD + "title: Again\n") == ["test.yaml:17:1: title: given twice"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("risk: change", "risk: low"), "risk"),
        (("uses: shell", "uses: python"), "uses"),
        (("    uses: shell", "    timeout: soon\n    uses: shell"), "write a duration"),
        (("min: 1, max: 60", "min: 9, max: 60"), "must be 9 or more"),
        (('pattern: "[a-z]*"', 'pattern: "["'), "not a regular expression"),
        (("script: echo hello", "script: echo hello\n      argv: [ls]"), "one of them"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(change, words):
    assert any(words in problem for problem in problems(GOOD.replace(*change)))


def test_a_runbook_that_says_it_reads_may_not_have_an_effect():
    text = GOOD.replace("risk: change", "risk: read").replace("    uses: shell", "    effect: once\n    uses: shell")
    assert "has an effect" in problems(text)[0]


def test_a_placeholder_must_be_a_parameter():
    text = GOOD.replace("uses: shell", "uses: sql").replace("script: echo hello", "query: SELECT %(nobody)s")
    assert "binds nobody" in problems(text)[0]


def test_parameters_are_typed_and_defaults_filled_in():
    parsed = definition.parse(GOOD)
    assert parsed.parse_params({}) == {"minutes": 5, "word": None}
    assert parsed.parse_params({"minutes": "7", "word": "abc"}) == {"minutes": 7, "word": "abc"}


@pytest.mark.parametrize(
    "given_params",
    [{"minutes": "0"}, {"minutes": "x"}, {"minutes": True}, {"word": "ABC"}, {"other": 1}, {"minutes": "1; rm"}],
)
def test_wrong_parameters_are_refused_by_name(given_params):
    with pytest.raises(Invalid) as error:
        definition.parse(GOOD).parse_params(given_params)
    assert set(error.value.fields) == set(given_params)


@given(st.text(max_size=300))
def test_no_text_breaks_the_parser(text):
    with contextlib.suppress(definition.DefinitionError):
        definition.parse(text)


@given(st.integers(1, 10_000), st.sampled_from("smhd"))
def test_durations_are_seconds(count, unit):
    assert definition.duration(f"{count}{unit}") == count * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
