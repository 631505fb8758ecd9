"""What a person wrote, apart from what they quote and sign; and the mail inside a forwarded one."""

import re
from dataclasses import dataclass

from mailparser_reply import EmailReplyParser

from supportdesk.text import one_line

WRAPPED = 64  # characters beyond which a program may wrap quoted lines
LONGEST = 600  # characters of a line that are looked at: patterns take long over longer ones
MOST_OF_LETTER = 50_000  # characters in which the library looks for signatures: over more its patterns take long
MOST_SIGNATURE = 20  # lines of a signature
MOST_LINES = 4000  # of a mail's end is looked through for quotations; what is longer is no letter
_LANGUAGES = ["en", "de", "fr", "es", "it", "nl", "pl", "sv", "da", "cs", "ja", "ko", "zh", "david"]
_WROTE = re.compile(
    r"(wrote|writes|schrieb|a écrit|escribió|ha scritto|schreef|skrev|napisał\(?a?\)?|napsal\(?a\)?|escreveu|kirjoitti|пишет|написал\(?а?\)?|写道|:|：)\s*[:：]?\s*$",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"(\bwrote|\bwrites|\bschrieb|a écrit|escribió|ha scritto|\bschreef|\bskrev|napisał\(?a?\)?|napsal\(?a\)?|escreveu|kirjoitti|пишет|написал\(?а?\)?|写道"
    r"|のメール|작성)[^\n]{0,60}[:：]\s*$",
    re.IGNORECASE,
)
_DATED = re.compile(
    r"^[\s>*]*(on|am|le|el|il|op|den|dnia|em|dne|w dniu|\d{4}[-/年.]|\w{2,4}[.,]? \d{1,2}\.? )", re.IGNORECASE
)
_TIME = re.compile(r"\d{1,2}\s?(?:[:.h時点]|시)\s?\d\d|\d\s?[ap]\.?m\b", re.IGNORECASE)
_DASHES = re.compile(r"^\s*(--|—|__)\s*$")
_RULE = re.compile(r"^[\s>]*[-_=*]{5,}\s*$")
_SEPARATOR = re.compile(
    r"^\s*[-_*]{2,}\s*(original[- ]?(message|appointment|nachricht)|forwarded message|urspr(ü|ue)ngliche nachricht|weitergeleitete nachricht|message d.origine|message original|originalnachricht"
    r"|message transféré|mensaje original|mensaje reenviado|messaggio originale|oorspronkelijk bericht|originalmeddelande|oprindelig meddelelse"
    r"|opprinnelig melding|wiadomość oryginalna|mensagem original|původní zpráva|исходное сообщение|原始邮件|元のメッセージ|원본 메시지|antwoord)[^\n]{0,40}$",
    re.IGNORECASE,
)
_CLIENT = re.compile(
    r"^(sent (from|with|via) (my )?[^,.!?]{2,40}|von meinem [^,.!?]{2,40} gesendet|gesendet (von|mit) [^,.!?]{2,40}|diese nachricht wurde von [^,!?]{2,60} gesendet"
    r"|envoyé (de|depuis) (mon |ma )?[^,.!?]{2,40}|enviado (desde|do) (mi |meu )?[^,.!?]{2,40}|inviato da(l mio)? [^,.!?]{2,40}"
    r"|verzonden vanaf [^,.!?]{2,40}|skickat från [^,.!?]{2,40}|sendt fra [^,.!?]{2,40}|wysłane z [^,.!?]{2,40}|get outlook for (ios|android|mac)[^\n]{0,60}"
    r"|holen sie sich outlook [^\n]{2,60}|iphoneから送信|[^\n]{2,30}から送信)[.!]?$",
    re.IGNORECASE,
)
_HEADER = re.compile(r"^[\s>*]*[^\s:：][^:：\n]{0,24}[:：]\*?\s*\S")
_ADDRESS = re.compile(r"[^\s@<>\"]+@[^\s@<>\"]+\.[^\s@<>\"]+")
_BRACKETED = re.compile(r"[<(\[]\s?(?:mailto:)?[^\s@<>\"]+@[^\s@<>\"]+\.[^\s@<>\"]+[>)\]]")
_FORWARDED = re.compile(
    r"^\s*(?:[-_*]{2,}\s*(?:Forwarded message|Original Message|Original Nachricht|Weitergeleitete Nachricht|Urspr(?:ü|ue)ngliche Nachricht|Message transféré|Message d'origine|Message original|Originalnachricht"
    r"|Mensaje reenviado|Messaggio inoltrato|Doorgestuurd bericht|Vidarebefordrat meddelande|Videresendt meddelelse|Wiadomość przekazana|Mensagem encaminhada)"
    r"[^\n]*|Begin forwarded message:|Anfang der weitergeleiteten Nachricht:|Début du message réexpédié\s*:|Inicio del mensaje reenviado:|Inizio messaggio inoltrato:)\s*$",
    re.IGNORECASE | re.MULTILINE,
)
_FROM = re.compile(
    r"^[\s>*]*(?:From|Von|De|Da|Van|Från|Fra|Od|Mittente|Absender|Lähettäjä|От|Feladó|Kimden|Отправитель|差出人|发件人|보낸 사람)\s*[:：]\*?\s*(.+)$",
    re.IGNORECASE | re.MULTILINE,
)
_SENT = re.compile(
    r"^[\s>*]*(?:Sent|Date|Gesendet|Datum|Envoyé|Enviado|Inviato|Data|Verzonden|Skickat|Sendt|Wysłano|Odesláno|Отправлено|Дата|送信日時|发送时间|보낸 날짜)\s*[:：]\*?\s*(.+)$",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"^[\s>*]*(?:Subject|Betreff|Objet|Asunto|Oggetto|Onderwerp|Ämne|Emne|Temat|Assunto|Sujet|Тема|Aihe|Předmět|Konu|Tárgy|件名|主题|제목)\s*[:：]\*?\s*(.+)$",
    re.IGNORECASE | re.MULTILINE,
)
_FORWARD_SUBJECT = re.compile(r"^\s*(?:fwd?|wg|w\.|tr|rv|i|doorst|vb|vs|pd|enc|转发)\s*[:：]\s*", re.IGNORECASE)
_REPLY_SUBJECT = re.compile(
    r"^\s*(?:(?:re|aw|antw?|sv|odp|rif|res|ynt|回复|返信)(?:\[\d+\])?\s*[:：]\s*)+", re.IGNORECASE
)


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
    lines = [
        line if len(line) <= LONGEST else line[:LONGEST] for line in lines
    ]  # for looking; what is returned is whole
    start = _quotation(lines)
    if start is not None and _words_of_ones_own(lines[start:]):
        return text, ""
    end = _signature(lines[:start] if start is not None else lines)
    if end == len(lines):
        return text, ""
    while end > 0 and (not lines[end - 1].strip() or _RULE.match(lines[end - 1])):
        end -= 1
    whole = text.split("\n")
    reply, quoted = "\n".join(whole[:end]).strip(), "\n".join(whole[end:]).strip()
    return (reply, quoted) if reply and not _only_announces(lines[:end]) else (text, "")


def _only_announces(lines: list[str]) -> bool:
    """Whether lines hold no word of one's own: a mail that is forwarded without any."""
    return all(
        not line.strip() or _SEPARATOR.match(line) or _FORWARDED.match(line) or _RULE.match(line) or _SENT.match(line)
        for line in lines
    )


def split_signature(text: str) -> tuple[str, str]:
    """What stands above the line that announces a signature, and the signature; all of it where there is no such line."""
    lines = text.split("\n")
    at = _delimiter(lines)
    above = "\n".join(lines[:at]).strip() if at is not None else ""
    return (above, "\n".join(lines[at:]).strip()) if above else (text, "")


def answers_in_line(text: str) -> bool:
    """Whether a text answers between the lines of what it quotes."""
    lines = [line[:LONGEST] for line in text.replace("\r\n", "\n").strip().split("\n")[:MOST_LINES]]
    start = _quotation(lines)
    return start is not None and _words_of_ones_own(lines[start:])


def _quotation(lines: list[str]) -> int | None:
    """The line at which the quotation begins: an attribution, a separator, repeated headers, or `>`."""
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        if line.lstrip().startswith(">"):
            return _attribution_above(lines, number)
        if number > 0 and (_SEPARATOR.match(line) or _headers_at(lines, number) or _attributed(lines, number)):
            return number
    return None


def _attribution_above(lines: list[str], number: int) -> int:
    """Where the line or two above a quoted block begin that say who wrote it."""
    above = number - 1
    while above >= 0 and not lines[above].strip():
        above -= 1
    for first in range(above, max(-1, above - 3), -1):
        said = " ".join(line.strip() for line in lines[first : above + 1])
        if not lines[first].strip():
            break
        if _WROTE.search(said) and (_ADDRESS.search(said) or re.search(r"\d", said)):
            return first
    return number


def _attributed(lines: list[str], number: int) -> bool:
    """`On <date> at <time>, <somebody> wrote:`, over up to three lines, though nothing below is marked as quoted.

    A date alone is of a tale: "On 3 May your colleague wrote: …".
    """
    for last in range(number, min(number + 3, len(lines))):
        if not lines[last].strip():
            return False
        if _is_attribution(lines[number : last + 1]):
            # What stands above it without an empty line between them is the person's own.
            return not any(_is_attribution(lines[first : last + 1]) for first in range(number + 1, last + 1))
    return False


def _is_attribution(lines: list[str]) -> bool:
    said = " ".join(line.strip() for line in lines)
    if len(said) >= 300 or not _VERB.search(said) or not re.search(r"\d", said):
        return False
    return bool(_BRACKETED.search(said) or (_DATED.match(said) and (_TIME.search(said) or _ADDRESS.search(said))))


def _headers_at(lines: list[str], number: int) -> bool:
    """A block of headers that a mail program repeats above what it quotes: from whom, and two more."""
    if not _HEADER.match(lines[number]):
        return False
    block: list[str] = []
    for line in lines[number : number + 12]:
        if not line.strip() and len(block) > 1:
            break
        block += [line] if line.strip() else []
    alike = sum(bool(_HEADER.match(line)) for line in block[:6])
    addressed = bool(_ADDRESS.search(lines[number]))
    begins = any(pattern.match(lines[number]) for pattern in (_FROM, _SENT, _SUBJECT))
    sender = next((line for line in block[:6] if _FROM.match(line)), "")
    known = begins and sender and (_ADDRESS.search(sender) or any(_SUBJECT.match(line) for line in block))
    # In a language that is not known here: four such lines, of which the first has an address.
    return bool(known and alike >= 3) or (addressed and alike >= 4)


def _words_of_ones_own(quotation: list[str]) -> bool:
    """Whether paragraphs that are no quotation stand between or below quoted lines: answers in line."""
    marked = [number for number, line in enumerate(quotation) if line.lstrip().startswith(">")]
    if not marked:
        return False
    for number in range(marked[0] + 1, len(quotation)):
        line = quotation[number]
        if _DASHES.match(line) or (number > marked[-1] and (_CLIENT.match(line.strip()) or _RULE.match(line))):
            return False  # a signature
        if not line.strip() or line.lstrip().startswith(">") or _attribution_above(quotation, number + 1) <= number:
            continue
        if number > marked[-1] and _VERB.search(line):
            continue
        # The rest of a line that a program wrapped hangs on the quoted one above it, which had no room for its first
        # word; an answer stands apart, or below one that had.
        above = quotation[number - 1].strip()
        if not above or (above.startswith(">") and len(above) + 1 + len(line.split()[0]) <= WRAPPED):
            return True
    return False


def _signature(lines: list[str]) -> int:
    """The line at which the signature begins: `-- `, a mail program's own line, or what the library knows of languages."""
    if (at := _delimiter(lines)) is not None:
        return at
    end = len(lines)
    while end > 1 and not lines[end - 1].strip():
        end -= 1
    if end > 1 and _CLIENT.match(lines[end - 1].strip()):
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
        goes_on = any(_VERB.search(line) for line in lines[kept : end - 1])
        return end if goes_on else kept
    return end


def _delimiter(lines: list[str]) -> int | None:
    """The line `-- ` that announces a signature (RFC 3676, 4.3). Without its space it does so once, above a few lines."""
    exact = [number for number, line in enumerate(lines) if number > 0 and line == "-- "]
    if exact:
        return exact[-1]
    loose = [number for number, line in enumerate(lines) if number > 0 and _DASHES.match(line)]
    return loose[0] if len(loose) == 1 and len(lines) - loose[0] <= MOST_SIGNATURE else None


def is_forward(subject: str) -> bool:
    """Whether a subject says that something is forwarded, as mail programs write it in front."""
    return bool(_FORWARD_SUBJECT.match(subject))


def forwarded(subject: str, text: str) -> Forwarded | None:
    """The forwarded mail in a text, by the line that announces it and the headers below; None where there is none."""
    lines = text[:200_000].split("\n")
    found = _FORWARDED.search(text[:200_000])
    if found is not None and (is_forward(subject) or "forward" in found[0].lower() or "weiterge" in found[0].lower()):
        above, rest = text[: found.start()], text[found.end() :]
    elif is_forward(subject):  # Outlook only repeats the headers
        at = (
            next(
                (
                    number
                    for number, line in enumerate(lines[:2000])
                    if _headers_at([one[:LONGEST] for one in lines], number)
                ),
                None,
            )
            if len(lines) < MOST_LINES
            else None
        )
        if at is None:
            return None
        above, rest = "\n".join(line for line in lines[:at] if not _RULE.match(line[:LONGEST])), "\n".join(lines[at:])
    else:
        return None
    head = rest[:3000]
    sender = _FROM.search(head)
    if sender is None or (address := _ADDRESS.search(sender[1])) is None:
        return None
    about = _SUBJECT.search(head)
    # The headers end at the first empty line after the sender.
    below = rest[sender.end() :].split("\n")[1:]
    start = next((number for number, line in enumerate(below) if not line.strip(" >*")), 0)
    body = "\n".join(line.removeprefix("> ").removeprefix(">") for line in below[start:]).strip()
    name = one_line(sender[1][: address.start()].strip(" \"'<[(*"), most=200)
    mail = address[0].strip("<>[](),;*").removeprefix("mailto:").lower()
    return Forwarded(mail[:254], name, one_line(about[1].strip(" *") if about else "", most=300), body, above.strip())


def bare_subject(subject: str) -> str:
    """The subject without Re:, AW: and their like, for comparing."""
    return _FORWARD_SUBJECT.sub("", _REPLY_SUBJECT.sub("", subject)).strip()
