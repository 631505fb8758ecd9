"""What mail programs write around a quotation, in the languages that they speak."""

import re

_VERBS = (
    r"wrote|writes|schrieb|a écrit|escribió|ha scritto|schreef|geschreven|skrev|napisał\(?a?\)?|napisana przez|napsal\(?a?\)?|escreveu|kirjoitti|пишет|пише|написал\(?а?\)?"
    r"|írta|a scris|έγραψε|yazdı|写道|のメール|작성"
)
# At the end of a line, or before a few words that end it.
WROTE = re.compile(rf"({_VERBS}|:|：)\s*[:：]?\s*$", re.IGNORECASE)
VERB = re.compile(rf"(?:\b|(?<=[^a-z]))(?:{_VERBS})(?:[^\n]{{0,60}}[:：]\s*-*|\s*-{{2,}})\s*$", re.IGNORECASE)
VERB_ENDS = re.compile(rf"\b(?:{_VERBS})\s*$", re.IGNORECASE)
DATED = re.compile(
    r"^[\s>*-]*(on|am|le|el|il|op|den|dnia|em|no dia|dne|w dniu|\d{4}[-/年.]|\w{2,4}[.,]? \d{1,2}\.? )", re.IGNORECASE
)
YEAR = re.compile(r"\b(?:19|20)\d\d\b|\b\d{1,2}[./-]\d{1,2}[./-]\d{2}\b|\d{4}年")
TIME = re.compile(r"\d{1,2}\s?(?:[:.h時点]|시)\s?\d\d|\d\s?[ap]\.?m\b", re.IGNORECASE)
RULE = re.compile(r"^[\s>]*[-_=*]{5,}\s*$")
HEADER = re.compile(r"^[\s>*]*[^\s:：][^:：\n]{0,24}[:：]\*?\s*\S")
ADDRESS = re.compile(r"[^\s@<>\"]+@[^\s@<>\"]+\.[^\s@<>\"]+")
BRACKETED = re.compile(r"[<(\[]\s?(?:mailto:)?[^\s@<>\"]+@[^\s@<>\"]+\.[^\s@<>\"]+[>)\]]")
SENT = re.compile(
    r"^[\s>*]*(?:Sent|Date|Gesendet|Datum|Envoyé|Enviado|Inviato|Data|Verzonden|Skickat|Sendt|Wysłano|Odesláno|Отправлено|Дата|送信日時|发送时间|보낸 날짜)\s*[:：]\*?\s*(.+)$",
    re.IGNORECASE,
)
SUBJECT = re.compile(
    r"^[\s>*]*(?:Subject|Betreff|Objet|Asunto|Oggetto|Onderwerp|Ämne|Emne|Temat|Assunto|Sujet|Тема|Aihe|Předmět|Konu|Tárgy|件名|主题|제목)\s*[:：]\*?\s*(.+)$",
    re.IGNORECASE | re.MULTILINE,
)
FORWARD_SUBJECT = re.compile(r"^\s*(?:fwd?|wg|w\.|tr|rv|i|doorst|vb|vs|pd|enc|转发)\s*[:：]\s*", re.IGNORECASE)
REPLY_SUBJECT = re.compile(
    r"^\s*(?:(?:re|aw|antw?|sv|odp|rif|res|ynt|回复|返信)(?:\[\d+\])?\s*[:：]\s*)+", re.IGNORECASE
)
_SEPARATORS = (
    r"(?:original[- ]?(?:message|appointment|nachricht)|forwarded message|reply message|urspr(?:ü|ue)ngliche nachricht|weitergeleitete nachricht|message d.origine|message original"
    r"|originalnachricht|message transféré|mensaje original|mensaje reenviado|messaggio originale|messaggio inoltrato|oorspronkelijk bericht|origineel bericht|doorgestuurd bericht"
    r"|originalmeddelande|vidarebefordrat meddelande|oprindelig (?:meddelelse|besked)|videresendt meddelelse|opprinnelig melding|alkuperäinen viesti|wiadomość oryginalna"
    r"|wiadomość przekazana|mensagem original|mensagem encaminhada|původní zpráva|исходное сообщение|原始邮件|元のメッセージ|원본 메시지|antwoord)"
)
SEPARATOR = re.compile(
    rf"^[\s>]*(?:[-_=]{{2,}}\s*{_SEPARATORS}\s*[-_=]{{2,}}|\*-+\s*{_SEPARATORS}\s*-+\*|[-_=]{{5,}}\s*{_SEPARATORS}[^\n]{{0,40}}$|-{{3,}}\s*{_SEPARATORS}\s*-*\s*$)",
    re.IGNORECASE,
)
# Words between dashes, in any language: right above what is quoted they belong to it.
ANNOUNCED = re.compile(r"^[\s>]*(?:[-_=]{3,}\s*[^\W\d_][^\n_=]{1,50}?\s*[-_=]{3,}|[-_=]{3,})\s*$")
_APPLE = r"Begin forwarded message:|Anfang der weitergeleiteten Nachricht:|Début du message réexpédié\s*:|Inicio del mensaje reenviado:|Inizio messaggio inoltrato:|Forwarded message:"
FORWARDED = re.compile(rf"^[\s>]*(?:[-_*]{{2,}}\s*{_SEPARATORS}[^\n]*|{_APPLE})\s*$", re.IGNORECASE | re.MULTILINE)
FORWARDING = re.compile(
    r"forward|weiterge|transf|réexp|reenviad|encaminh|inoltrat|doorgest|vidarebef|videresend|przekaz", re.IGNORECASE
)
FROM = re.compile(
    r"^[\s>*]*(?:From|Von|De|Da|De la|Van|Från|Fra|Od|Mittente|Absender|Lähettäjä|От|От кого|Feladó|Kimden|Gönderen|Από|Отправитель|من|差出人|发件人|寄件者|寄件人|보낸 사람)\s*[:：]\*?\s*(.+)$",
    re.IGNORECASE | re.MULTILINE,
)
_TO = re.compile(
    r"^[\s>*]*(?:To|An|À|A|Para|Aan|Till|Til|Do|Кому|Címzett|Kime|宛先|收件人|받는 사람)\s*[:：]\*?\s*\S", re.IGNORECASE
)
DASHES = re.compile(r"^\s*(--|—)\s*$")
_SENDING = re.compile(
    r"sent\b|gesendet|versendet|envoyé|enviad[oa]|inviat[oa]|verzonden|verstuurd|skickat|sendt|wysłan|lähetetty|отправлен|trimis|küldve|gönderildi|رسلت|发自|發自|傳送|传送|送信"
    r"|\bget\b|télécharger|obtener|obter|holen|beziehen|scarica|보냄|보냈",
    re.IGNORECASE,
)
_DEVICE = re.compile(
    r"iphone|ipad|ipod|android|galaxy|samsung|huawei|xiaomi|blackberry|nokia|windows (?:phone|mail|\d+)|(?:via|from) mobile|^sent from my |outlook|yahoo|proton|gmx|web\.de|k-9|aquamail|typeapp|bluemail|mailbird|airmail"
    r"|fairemail|tutanota|gmail|zoho|mail app|sparrow|\bphone\b"
    r"|\b(?:my|meinem|mon|mi|meu|mijn|min|mojego) (?:mobil\w*|phone|cell\w*|smartphone|handy|telefon\w*|portable|téléphone|móvil|celular|telefoon|device|tablet)",
    re.IGNORECASE,
)
_LINK_BEHIND = re.compile(r"\s*(?:<https?://[^>]*>|\(https?://[^)]*\)|https?://\S+)\s*$")
_EXCUSE = re.compile(r"[,.]?\s*(?:please excuse|excuse|pardon|bitte entschuldigen)\b.*$", re.IGNORECASE)
_OPENING = re.compile(r"^(?:diese nachricht wurde|this (?:message|e?-?mail) was|ce message a été)\s+", re.IGNORECASE)


def is_client(line: str) -> bool:
    """Whether a line is what a program writes below a letter: with what device or program it was sent."""
    if len(line) > 300:
        return False
    said = _EXCUSE.sub("", _LINK_BEHIND.sub("", line.strip())).strip(" ()<>[].!")
    said = _OPENING.sub("", said)
    words = said.split()
    if not words or len(said) > 60 or len(words) > (4 if words[0].lower() == "get" else 8):
        return False
    return bool(_SENDING.search(said) and _DEVICE.search(said))


_DAY = re.compile(r"\b\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b")


def is_moment(text: str) -> bool:
    """Whether a text says a day with its year, and a time of that day."""
    return bool(YEAR.search(text)) and bool(TIME.search(_DAY.sub(" ", text)))


def is_to(line: str) -> bool:
    """Whether a line is a header of whom something went to."""
    return bool(_TO.match(line))
