"""An article as a file: YAML front matter with symptoms, diagnoses and fixes, then the summary in markdown."""

from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from supportdesk.errors import Invalid

Text = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Command(_Strict):
    language: str = "bash"
    code: Text


class DiagnosisSource(Command):
    title: Text
    runbook: str | None = None


class FixSource(_Strict):
    title: Text
    text: str = ""
    risk: Literal["read", "change", "destructive"] = "read"
    commands: list[Command] = []
    runbook: str | None = None


class ArticleSource(_Strict):
    """The whole file."""

    slug: Annotated[str, Field(pattern=r"^[a-z0-9-]+$", max_length=100)]
    title: Text
    kind: Literal["issue", "how-to", "reference"] = "issue"
    category: str
    tier: Literal[1, 2, 3] = 1
    symptoms: list[Text] = []
    diagnosis: list[DiagnosisSource] = []
    fixes: list[FixSource] = []
    summary: Text


def parse(text: str, *, name: str) -> ArticleSource:
    """Read an article file; `Invalid` names the file and each wrong field."""
    head, separator, body = text.removeprefix("---\n").partition("\n---\n")
    if not text.startswith("---\n") or not separator:
        raise Invalid(f"{name}:1: an article begins with front matter between two lines of ---")
    try:
        data = yaml.safe_load(head)
        return ArticleSource.model_validate({**data, "summary": body.strip()})
    except yaml.YAMLError as error:
        raise Invalid(f"{name}: the front matter is not valid YAML: {error}") from None
    except TypeError:
        raise Invalid(f"{name}:2: the front matter is a mapping that begins with slug:") from None
    except ValidationError as error:
        problems = [f"{name}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise Invalid("\n".join(problems)) from None
