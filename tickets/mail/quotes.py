"""What a person wrote, apart from what they quote and sign; and the mail inside a forwarded one."""

import re
from dataclasses import dataclass

from mailparser_reply import EmailReplyParser

from supportdesk.text import one_line
from tickets.mail import phrases

WRAPPED = 64  # characters beyond which a program may wrap quoted lines
LONGEST = 600  # characters of a line that are looked at: patterns take long over longer ones
MOST_OF_LETTER = 50_000  # characters in which the library looks for signatures: over more its patterns take long
MOST_SIGNATURE = 12  # lines of a signature
MOST_LINES = 4000  # of a mail's end is looked through for quotations; what is longer is no letter
_COLONS = (":", "\uff1a")
_DIRECTIONS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LANGUAGES = ["en", "de", "fr", "es", "it", "nl", "pl", "sv", "da", "cs", "ja", "ko", "zh", "david"]


@dataclass(frozen=True)
class Forwarded:
    """The mail inside a forwarded one, as far as its repeated headers say."""

    sender: str
    sender_name: str
    subject: str
    text: str
    said_above: str


def split_reply(text: str) -> tuple[str, str]:
    """What the person wrote, and what is folded below it (quotation and signature): (reply, quoted).

    Where answers stand between the lines of a quotation, all of it is what they wrote. Nothing is deleted.
    """
    text = text.replace("\r\n", "\n").strip()
    lines = text.split("\n")
    if len(lines) > MOST_LINES:
        return text, ""
    lines = _looked_at(lines)
    start = _quotation(lines)
    if start is not None and _words_of_ones_own(lines[start:]):
        return text, ""
    start = _with_announcement(lines, start) if start is not None else None
    end = _signature(lines[:start] if start is not None else lines)
    if end == len(lines):
        return text, ""
    while end > 0 and (not lines[end - 1].strip() or phrases.RULE.match(lines[end - 1])):
        end -= 1
    whole = text.split("\n")
    reply, quoted = "\n".join(whole[:end]).strip(), "\n".join(whole[end:]).strip()
    return (reply, quoted) if reply and not _only_announces(lines[:end]) else (text, "")


def _looked_at(lines: list[str]) -> list[str]:
    """Lines as patterns look at them, as many as there are; what is returned to anybody is whole."""
    return [_DIRECTIONS.sub("", line[:LONGEST]) for line in lines]


def _only_announces(lines: list[str]) -> bool:
    """Whether lines hold no word of one's own: a mail that is forwarded without any."""
    patterns = (phrases.SEPARATOR, phrases.FORWARDED, phrases.ANNOUNCED, phrases.RULE, phrases.SENT)
    return all(not line.strip() or any(pattern.match(line) for pattern in patterns) for line in lines)


def split_signature(text: str) -> tuple[str, str]:
    """What stands above the line that announces a signature, and the signature; all of it where there is no such line."""
    lines = text.split("\n")
    at = _delimiter(lines)
    above = "\n".join(lines[:at]).strip() if at is not None else ""
    return (above, "\n".join(lines[at:]).strip()) if above else (text, "")


def answers_in_line(text: str) -> bool:
    """Whether a text answers between the lines of what it quotes."""
    lines = _looked_at(text.replace("\r\n", "\n").strip().split("\n")[:MOST_LINES])
    start = _quotation(lines)
    return start is not None and _words_of_ones_own(lines[start:])


def _quotation(lines: list[str]) -> int | None:
    """The line at which the quotation begins: an attribution, a separator, repeated headers, or `>`."""
    number = 0
    while number < len(lines):
        line = lines[number]
        if line.lstrip().startswith(">"):
            begins = _attribution_above(lines, number)
            if begins < number or not _is_shown(lines, number):
                return begins
            while number < len(lines) and lines[number].lstrip().startswith(">"):
                number += 1
            continue
        if number > 0 and (phrases.SEPARATOR.match(line) or _headers_at(lines, number) or _attributed(lines, number)):
            return number
        number += 1
    return None


def _is_shown(lines: list[str], number: int) -> bool:
    """Whether a marked block is what the line right above it announces, as "The program says:"."""
    above = next((line for line in reversed(lines[:number]) if line.strip()), "")
    return above.rstrip().endswith(_COLONS) and not phrases.VERB.search(above)


def _with_announcement(lines: list[str], start: int) -> int:
    """The line above a quotation that says, between dashes or in a mail program's words, that one follows."""
    above = start - 1
    while above > 0 and not lines[above].strip():
        above -= 1
    announced = above > 0 and (phrases.ANNOUNCED.match(lines[above]) or phrases.FORWARDED.match(lines[above]))
    return above if announced else start


def _attribution_above(lines: list[str], number: int) -> int:
    """Where the line or two above a quoted block begin that say who wrote it."""
    above = number - 1
    while above >= 0 and not lines[above].strip():
        above -= 1
    for first in range(above, max(-1, above - 3), -1):
        said = " ".join(line.strip() for line in lines[first : above + 1])
        if not lines[first].strip():
            break
        tells = phrases.WROTE.search(said) and (phrases.ADDRESS.search(said) or re.search(r"\d", said))
        names = phrases.YEAR.search(said) and phrases.BRACKETED.search(said[-80:]) and len(said) < 120
        if tells or names or (first == above and len(said) < 60 and phrases.VERB.search(said)):
            return first
    return number


def _attributed(lines: list[str], number: int) -> bool:
    """`On <date> at <time>, <somebody> wrote:`, over up to three lines, though nothing below is marked as quoted.

    A date alone is of a tale: "On 3 May your colleague wrote: …".
    """
    if number > 0 and lines[number - 1].rstrip().endswith(_COLONS):
        return False  # it is what that line announces
    for last in range(number, min(number + 3, len(lines))):
        if not lines[last].strip():
            return False
        if _is_attribution(lines[number : last + 1]):
            # What stands above it without an empty line between them is the person's own.
            return not any(_is_attribution(lines[first : last + 1]) for first in range(number + 1, last + 1))
    return False


def _is_attribution(lines: list[str]) -> bool:
    said = " ".join(line.strip() for line in lines)
    if len(said) >= 300 or not re.search(r"\d", said):
        return False
    when, bracketed = phrases.is_moment(said), phrases.BRACKETED.findall(said)
    if phrases.VERB.search(said):
        dated = phrases.DATED.match(said) and (phrases.TIME.search(said) or phrases.ADDRESS.search(said))
        return bool(bracketed or dated or (when and phrases.ADDRESS.search(said)))
    if phrases.VERB_ENDS.search(said):  # without its colon
        return bool(when and bracketed and phrases.DATED.match(said))
    # In any language: when, and one address, as no sentence has them.
    return bool(when and len(bracketed) == 1 and len(said) <= 200 and said.endswith(_COLONS))


def _headers_at(lines: list[str], number: int) -> bool:
    """A block of headers that a mail program repeats above what it quotes: from whom, and two more.

    People write lists of details too: an address or a moment has to be where mail programs put them.
    """
    if not phrases.HEADER.match(lines[number]):
        return False
    block: list[str] = []
    for line in lines[number : number + 12]:
        if not line.strip() and len(block) > 1:
            break
        block += [line] if line.strip() else []
    alike = sum(bool(phrases.HEADER.match(line)) for line in block[:6])
    if alike < 3:
        return False
    begins = any(pattern.match(lines[number]) for pattern in (phrases.FROM, phrases.SENT, phrases.SUBJECT))
    people = [line for line in block[:6] if phrases.FROM.match(line) or phrases.is_to(line)]
    sent = [line for line in block[:6] if phrases.SENT.match(line)]
    if begins and any(phrases.FROM.match(line) for line in people):
        above = next((line for line in reversed(lines[:number]) if line.strip()), "")
        announced = any(one.match(above) for one in (phrases.SEPARATOR, phrases.ANNOUNCED, phrases.FORWARDED))
        known = len(people) + len(sent) + sum(bool(phrases.SUBJECT.match(line)) for line in block[:6])
        placed = any(phrases.ADDRESS.search(line) for line in people) or any(map(phrases.is_moment, sent))
        return announced or (known >= 3 and placed)
    # In a language that is not known here: four such lines, of which the first names a sender and another a moment.
    named = re.search(r":\s*[^\s<].*<[^<>@\s]+@[^<>\s]+>", lines[number])
    return alike >= 4 and bool(named) and any(map(phrases.is_moment, block[1:6]))


def _words_of_ones_own(quotation: list[str]) -> bool:
    """Whether paragraphs that are no quotation stand between or below quoted lines: answers in line."""
    marked = [number for number, line in enumerate(quotation) if line.lstrip().startswith(">")]
    if not marked:
        return False
    for number in range(marked[0] + 1, len(quotation)):
        line = quotation[number]
        below = number > marked[-1]
        if line == "-- " or (phrases.DASHES.match(line) and below) or (below and phrases.is_client(line)):
            return False  # a signature
        if phrases.RULE.match(line):
            if below and not quotation[number - 1].strip():
                return False  # what a gateway writes below it all
            continue
        if not line.strip() or line.lstrip().startswith(">") or _attribution_above(quotation, number + 1) <= number:
            continue
        if below and phrases.VERB.search(line):
            continue
        if not _is_wrapped_rest(quotation, number):
            return True
    return False


def _is_wrapped_rest(quotation: list[str], number: int) -> bool:
    """Whether an unmarked line is the rest of the quoted one above, which a program wrapped: that one had no room for its first word.

    It is alone, and more is quoted below; after the end of a sentence an answer begins.
    """
    above, below = quotation[number - 1].strip(), quotation[number + 1 : number + 2]
    if not above.startswith(">") or not below or not below[0].lstrip().startswith(">"):
        return False
    ended = above.rstrip().endswith((".", "?", "!", ":", "…", ")", '"', "”"))
    return not ended and len(above) + 1 + len(quotation[number].split()[0]) > WRAPPED


def _signature(lines: list[str]) -> int:
    """The line at which the signature begins: `-- `, a mail program's own line, or what the library knows of languages."""
    if (at := _delimiter(lines)) is not None:
        return at
    end = len(lines)
    while end > 1 and not lines[end - 1].strip():
        end -= 1
    if end > 1 and phrases.is_client(lines[end - 1]) and _stands_apart(lines, end - 1):
        return end - 1
    top = "\n".join(lines[:end])
    if len(top) > MOST_OF_LETTER or any(len(line) >= LONGEST for line in lines[:end]):
        return end
    try:
        known = (EmailReplyParser(languages=_LANGUAGES).parse_reply(text=top) or "").rstrip()
    except Exception:  # a pattern of the library that cannot read this
        return end
    # It is believed where it leaves a beginning of what was written, and not where it cuts in the middle.
    if known and top.lstrip().startswith(known):
        skipped = len(top) - len(top.lstrip())
        kept = top[: skipped + len(known)].count("\n") + 1
        # A quotation is ours to find: who writes that somebody wrote something, and goes on, is not quoting.
        goes_on = any(phrases.VERB.search(line) for line in lines[kept : end - 1])
        first = next((line for line in lines[kept:end] if line.strip()), "")
        repeats = phrases.is_to(first) or any(one.match(first) for one in (phrases.FROM, phrases.SENT, phrases.SUBJECT))
        return end if goes_on or repeats else kept
    return end


def _stands_apart(lines: list[str], number: int) -> bool:
    """Whether a line is not in the middle of a sentence."""
    above = lines[number - 1].strip()
    return len(above) < 30 or above[-1] in ".!?,;:)…" or not above[-1].isascii()


def _delimiter(lines: list[str]) -> int | None:
    """The line `-- ` that announces a signature (RFC 3676, 4.3). Without its space it does so once, above a few short lines."""
    exact = [number for number, line in enumerate(lines) if number > 0 and line == "-- "]
    if exact:
        return exact[-1]
    loose = [number for number, line in enumerate(lines) if number > 0 and phrases.DASHES.match(line)]
    if len(loose) != 1:
        return None
    below = [line.strip() for line in lines[loose[0] + 1 :] if line.strip()]
    above = next((line.strip() for line in reversed(lines[: loose[0]]) if line.strip()), "")
    is_letter = above.endswith(":") or any(line.endswith("?") for line in below)
    return loose[0] if len(below) <= MOST_SIGNATURE and not is_letter else None


def is_forward(subject: str) -> bool:
    """Whether a subject says that something is forwarded, as mail programs write it in front."""
    return bool(phrases.FORWARD_SUBJECT.match(subject))


def forwarded(subject: str, text: str) -> Forwarded | None:
    """The forwarded mail in a text, by the line that announces it and the headers below; None where there is none."""
    lines = text[:200_000].split("\n")
    looked_at = _looked_at(lines)
    found = phrases.FORWARDED.search(text[:200_000])
    if found is not None and (is_forward(subject) or phrases.FORWARDING.search(found[0])):
        above, rest = text[: found.start()], text[found.end() :]
    elif is_forward(subject):  # Outlook only repeats the headers
        at = (
            next(
                (number for number, line in enumerate(lines[:2000]) if _headers_at(looked_at, number)),
                None,
            )
            if len(lines) < MOST_LINES
            else None
        )
        if at is None:
            return None
        above, rest = (
            "\n".join(line for line in lines[:at] if not phrases.RULE.match(line[:LONGEST])),
            "\n".join(lines[at:]),
        )
    else:
        return None
    rest = re.sub(r"\n[\s>]*(?=<[^<>\s@]+@)", " ", rest[:3000]) + rest[3000:]  # an address on a line of its own
    head = rest[:3000]
    sender = phrases.FROM.search(head)
    if sender is None or (address := phrases.ADDRESS.search(sender[1])) is None:
        return None
    about = phrases.SUBJECT.search(head)
    # The headers end at the first empty line after the sender.
    below = rest[sender.end() :].split("\n")[1:]
    start = next((number for number, line in enumerate(below) if not line.strip(" >*")), 0)
    body = "\n".join(line.removeprefix("> ").removeprefix(">") for line in below[start:]).strip()
    name = one_line(sender[1][: address.start()].strip(" \"'<[(*"), most=200)
    mail = address[0].strip("<>[](),;*").removeprefix("mailto:").lower()
    return Forwarded(mail[:254], name, one_line(about[1].strip(" *") if about else "", most=300), body, above.strip())


def bare_subject(subject: str) -> str:
    """The subject without Re:, AW: and their like, for comparing."""
    return phrases.FORWARD_SUBJECT.sub("", phrases.REPLY_SUBJECT.sub("", subject)).strip()
