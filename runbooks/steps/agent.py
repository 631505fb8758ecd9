"""Looks through files and logs on the machine where they are. Standard library only: its text is sent to the machine.

The job is JSON in DESK_JOB. It answers in lines of JSON: {"line": …} to show, and {"result": …} as the last one.
"""

import bisect
import fnmatch
import glob
import gzip
import json
import math
import os
import re
import stat
import sys
import time
from array import array
from datetime import datetime, timezone

MOST_ROWS = 1000
MOST_EXACT = 200_000  # numbers kept as they are; more go into buckets 1 % wide
MOST_LINE = 1024 * 1024
STEP = math.log(1.01)
ISO = re.compile(rb"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,]\d+)?\s?(Z|[+-]\d\d:?\d\d)?")
WEB = re.compile(rb"\[(\d{1,2}/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]")
SYSLOG = re.compile(rb"^([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d)")


def say(text):
    print(json.dumps({"line": text}), flush=True)


class Trouble(Exception):
    pass


# ------------------------------------------------------------------------------------------- files
def within(folder, name):
    """A path inside the folder, with links resolved; Trouble where it leads out."""
    path = os.path.join(folder, name)
    root = os.path.realpath(folder)
    if os.path.commonpath([root, os.path.realpath(path)]) != root:
        raise Trouble(f"{name} leads out of {folder}")
    return path


def walk(folder, depth):
    """Regular files below a folder, never through a link: (path, status)."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise Trouble(f"{folder}: {error.strerror}") from None
    for entry in entries:
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            yield entry.path, status
        elif stat.S_ISDIR(status.st_mode) and depth > 0:
            yield from walk(entry.path, depth - 1)


def chosen(job):
    """The files that the conditions pick, oldest first, and how many the pattern alone picks."""
    folder, now = job["folder"], time.time()
    if not os.path.isdir(folder):
        raise Trouble(f"there is no folder {folder}")
    alike = [
        (status.st_mtime, path, status.st_size)
        for path, status in walk(folder, job["depth"])
        if fnmatch.fnmatchcase(os.path.relpath(path, folder), job["pattern"])
        or fnmatch.fnmatchcase(os.path.basename(path), job["pattern"])
    ]
    alike.sort()
    kept = len(alike) - job["keep_newest"] if job["action"] == "delete" else len(alike)
    found = []
    for index, (changed, path, size) in enumerate(alike):
        age = now - changed
        if job["older_than"] is not None and age < job["older_than"]:
            continue
        if job["newer_than"] is not None and age > job["newer_than"]:
            continue
        if size < job["larger_than"] or (index >= kept):
            continue
        found.append((changed, path, size))
    return found, alike


def files(job):
    found, alike = chosen(job)
    gone, failed = 0, []
    for changed, path, size in found[:MOST_ROWS]:
        say("%s %12d %s" % (shown(changed), size, os.path.relpath(path, job["folder"])))
    if len(found) > MOST_ROWS:
        say("… and %d more" % (len(found) - MOST_ROWS))
    if job["action"] == "delete" and not job["preview"]:
        for changed, path, _size in found:
            try:
                status = os.lstat(path)
                if not stat.S_ISREG(status.st_mode) or status.st_mtime != changed:
                    continue  # it is another file by now
                os.unlink(path)
                gone += 1
            except OSError as error:
                failed.append(f"{path}: {error.strerror}")
    now = time.time()
    return {
        "count": len(found),
        "bytes": sum(size for _, _, size in found),
        "alike": len(alike),
        "oldest_seconds": round(now - found[0][0]) if found else None,
        "newest_seconds": round(now - found[-1][0]) if found else None,
        "newest_bytes": found[-1][2] if found else None,
        "deleted": gone,
        "failed": failed[:20],
        "rows": [
            {"file": os.path.relpath(path, job["folder"]), "bytes": size, "changed": shown(changed)}
            for changed, path, size in found[-50:]
        ],
    }


def shown(moment):
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


# -------------------------------------------------------------------------------------------- logs
def moment_of(line):
    """When a line says that it was written, in seconds; None where it does not say. Without a zone it is UTC."""
    head = line[:300]
    match = ISO.search(head)
    if match:
        text = f"{match[1].decode()}T{match[2].decode()}"
        try:
            moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc).timestamp()
        except ValueError:
            return None
        zone = (match[3] or b"Z").decode().replace(":", "")
        if zone != "Z":
            away = int(zone[1:3]) * 3600 + int(zone[3:5]) * 60
            moment -= away if zone[0] == "+" else -away
        return moment
    match = WEB.search(head)
    if match:
        try:
            return datetime.strptime(match[1].decode(), "%d/%b/%Y:%H:%M:%S %z").timestamp()
        except ValueError:
            return None
    match = SYSLOG.match(head)
    if match:
        now = datetime.now(timezone.utc)
        try:
            found = datetime.strptime("%d %s" % (now.year, match[1].decode()), "%Y %b %d %H:%M:%S")
        except ValueError:
            return None
        found = found.replace(tzinfo=timezone.utc)
        return (found if found <= now else found.replace(year=now.year - 1)).timestamp()
    return None


def start_of(path, since):
    """Where in a plain file the lines of `since` begin, found by halving: a log is in the order of time."""
    size = os.path.getsize(path)
    if size < 8 * 1024 * 1024:
        return 0
    low, high = 0, size
    with open(path, "rb") as file:
        while high - low > 65536:
            middle = (low + high) // 2
            file.seek(middle)
            file.readline(MOST_LINE)
            moment = None
            for _ in range(200):
                line = file.readline(MOST_LINE)
                if not line:
                    break
                moment = moment_of(line)
                if moment is not None:
                    break
            if moment is None or moment >= since:
                high = middle
            else:
                low = middle
        file.seek(low)
        if low:
            file.readline(MOST_LINE)
        return file.tell()


def lines_of(job):
    """The lines since the moment, of the log and its rotated and gzipped former ones, oldest file first."""
    folder, since = job["folder"], job["since"]
    names = set()
    for path in glob.glob(os.path.join(glob.escape(folder), job["file"])):
        names |= {path, *glob.glob(glob.escape(path) + ".*"), *glob.glob(glob.escape(path) + "-*")}
    found = []
    for path in names:
        inside = within(folder, os.path.relpath(path, folder))
        if os.path.isfile(inside):
            changed = os.path.getmtime(inside)
            if since is None or changed >= since:
                found.append((changed, inside))
    if not names:
        raise Trouble("there is no {} in {}".format(job["file"], folder))
    for _changed, path in sorted(found):
        keep = since is None
        packed = path.endswith(".gz")
        with gzip.open(path, "rb") if packed else open(path, "rb") as file:
            if since is not None and not packed:
                file.seek(start_of(path, since))
            while True:
                try:
                    line = file.readline(MOST_LINE)
                except (EOFError, OSError) as error:
                    say(f"{os.path.basename(path)} ends early: {error}")
                    break
                if not line:
                    break
                if since is not None:
                    moment = moment_of(line)
                    if moment is not None:  # a line without a moment belongs to the one above it
                        keep = moment >= since
                if keep:
                    yield line


class Numbers:
    """Percentiles of any number of numbers: exact up to a limit, then within 1 %."""

    def __init__(self):
        self.exact, self.buckets, self.count = array("d"), {}, 0
        self.low, self.high, self.sum = math.inf, -math.inf, 0.0

    def add(self, value):
        self.count += 1
        self.sum += value
        self.low, self.high = min(self.low, value), max(self.high, value)
        if self.exact is not None:
            self.exact.append(value)
            if len(self.exact) > MOST_EXACT:
                kept, self.exact = self.exact, None
                for one in kept:
                    self._bucket(one)
        else:
            self._bucket(value)

    def _bucket(self, value):
        key = 0 if value == 0 else int(math.copysign(1, value)) * (10**6 + int(math.log(abs(value)) // STEP))
        self.buckets[key] = self.buckets.get(key, 0) + 1

    def percentile(self, share):
        wanted = max(1, math.ceil(self.count * share / 100.0))
        if self.exact is not None:
            return sorted(self.exact)[wanted - 1]
        keys = sorted(self.buckets)
        totals, total = [], 0
        for key in keys:
            total += self.buckets[key]
            totals.append(total)
        key = keys[bisect.bisect_left(totals, wanted)]
        if key == 0:
            return 0.0
        size = math.exp((abs(key) - 10**6 + 0.5) * STEP)
        return min(max(math.copysign(size, key), self.low), self.high)


def number_in(line, job, pattern):
    if job["json_field"]:
        try:
            value = json.loads(line)
            for part in job["json_field"].split("."):
                value = value[part]
            return float(value)
        except (ValueError, KeyError, TypeError, IndexError):
            return None
    match = pattern.search(line)
    try:
        return float(match[1]) if match else None
    except (ValueError, IndexError):
        return None


def logs(job):
    wanted = job["pattern"].encode()
    flags = re.IGNORECASE if job["ignore_case"] else 0
    try:
        pattern = re.compile(wanted if job["regex"] else re.escape(wanted), flags)
        field = re.compile(job["field"].encode()) if job["field"] else None
    except re.error as error:
        raise Trouble(f"it is not a regular expression: {error}") from None
    if field is not None and field.groups < 1:
        raise Trouble("field needs a group (…) around the number")
    numbers, count, seen, newest = Numbers(), 0, 0, []
    for line in lines_of(job):
        seen += 1
        if wanted and not pattern.search(line):
            continue
        count += 1
        if job["action"] == "search":
            newest.append(line)
            if len(newest) > 2 * job["newest"]:
                del newest[: -job["newest"]]
        elif job["action"] == "percentile":
            value = number_in(line, job, field)
            if value is not None and math.isfinite(value):
                numbers.add(value)
    newest = [line.decode("utf-8", "replace").rstrip("\r\n") for line in newest[-job["newest"] :]]
    for line in newest:
        say(line)
    result = {"count": count, "lines": seen, "newest": newest[-50:]}
    if job["action"] == "percentile":
        result["numbers"] = numbers.count
        if numbers.count:
            result["mean"] = numbers.sum / numbers.count
            result["max"] = numbers.high
            result["percentiles"] = {f"p{share:g}": numbers.percentile(share) for share in job["percentiles"]}
    return result


def main():
    job = json.loads(os.environ["DESK_JOB"])
    try:
        result = {"files": files, "logs": logs}[job["do"]](job)
    except Trouble as error:
        result = {"trouble": str(error)}
    except OSError as error:
        result = {"trouble": "{}: {}".format(error.filename or "it", error.strerror or error)}
    print(json.dumps({"result": result}), flush=True)


if __name__ == "__main__":
    sys.stdout.reconfigure(  # type: ignore[union-attr]
        encoding="utf-8", errors="backslashreplace"
    )
    main()
