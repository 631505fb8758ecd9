"""What a file may do to who opens it, judged by its name and first bytes. Pure."""

import re
import unicodedata

# Extensions that systems run, or that carry programs: those that mail systems commonly block.
_RUNS = frozenset(
    [
        "ade",
        "adp",
        "apk",
        "app",
        "application",
        "appref-ms",
        "bat",
        "chm",
        "cmd",
        "com",
        "cpl",
        "dll",
        "dmg",
        "exe",
        "gadget",
        "hta",
        "inf",
        "ins",
        "iso",
        "isp",
        "img",
        "jar",
        "jnlp",
        "js",
        "jse",
        "lib",
        "lnk",
        "mde",
        "msc",
        "msh",
        "msh1",
        "msh2",
        "msi",
        "msix",
        "msp",
        "mst",
        "nsh",
        "pif",
        "pkg",
        "ps1",
        "ps1xml",
        "ps2",
        "psc1",
        "psc2",
        "py",
        "pyw",
        "rb",
        "reg",
        "scf",
        "scr",
        "sct",
        "sh",
        "shb",
        "sys",
        "url",
        "vb",
        "vbe",
        "vbs",
        "vhd",
        "vhdx",
        "vxd",
        "wsc",
        "wsf",
        "wsh",
        "xll",
    ]
)
_MACROS = frozenset(["docm", "dotm", "xlsm", "xltm", "xlam", "pptm", "potm", "ppam", "ppsm", "sldm"])
_PAGES = frozenset(["htm", "html", "xhtml", "mht", "mhtml", "svg", "svgz", "xml", "xsl", "xslt"])
_PROGRAM = (
    b"MZ",
    b"\x7fELF",
    b"#!",
    b"\xca\xfe\xba\xbe",
    b"\xfe\xed\xfa\xce",
    b"\xfe\xed\xfa\xcf",
    b"\xcf\xfa\xed\xfe",
)
_PAGE = re.compile(rb"^\s*(<!doctype html|<html|<svg|<script)", re.IGNORECASE)


def danger_of(name: str, content: bytes) -> str:
    """Why the file deserves care, in a few words; empty for what is ordinary."""
    if any(unicodedata.bidirectional(c) in {"RLO", "LRO", "RLE", "LRE", "RLI", "LRI"} for c in name):
        return "its name reads backwards"
    parts = name.lower().rstrip(". ").split(".")
    extension = parts[-1] if len(parts) > 1 else ""
    if extension in _RUNS or content.startswith(_PROGRAM):
        looks = len(parts) > 2 and parts[-2] in {"pdf", "doc", "docx", "xls", "xlsx", "jpg", "jpeg", "png", "txt"}
        return "a program that looks like a document" if looks else "a program"
    if extension in _MACROS:
        return "a document with macros"
    if extension in _PAGES or _PAGE.match(content[:200]):
        return "a page that may run scripts"
    if extension in {"zip", "7z", "rar"} and _locked(content):
        return "an archive with a password"
    return ""


def _locked(content: bytes) -> bool:
    """Whether the first entry of a zip file is encrypted: no scanner has looked into it."""
    return content[:4] == b"PK\x03\x04" and len(content) > 8 and bool(content[6] & 1)
