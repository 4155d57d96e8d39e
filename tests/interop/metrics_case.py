# SPDX-License-Identifier: LGPL-2.1-or-later
# metrics_case.py - asks for metrics, and reads the answer as strictly as the format has it
# (Prometheus, "Exposition formats", text format 0.0.4).
import re
import socket
import time

from nbd_case import check

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)", flags=re.S)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PART = "strata_nbd_"


def request(address, text, timeout=30):
    """Sends the bytes and returns all that comes back; @address: a path, or (host, port)."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as client:
        client.connect(address)  # before the timeout: with one, a full queue would be an error
        client.settimeout(timeout)
        client.sendall(text)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    return answer


def get(address, target="/metrics", method="GET"):
    """(status, {header: value}, body)"""
    answer = request(address, f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                     .encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


def read_labels(text, line):
    labels, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        check(match, f"labels that cannot be read: {line!r}")
        name, value = match.groups()
        check(name not in labels, f"a label twice: {line!r}")
        labels[name] = re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), value)
        at = match.end()
        check(at == len(text) or (text[at] == "," and at + 1 < len(text)),
              f"labels that cannot be read: {line!r}")
        at += 1
    return labels


class Metrics:
    """types: {name: type}; samples: {(name, frozenset of labels): value}"""

    def __init__(self, text):
        check(text.endswith("\n"), "the last line has no end")
        self.types, self.samples, self.helps = {}, {}, {}
        self.family = None
        closed = set()
        for line in text[:-1].split("\n"):
            check(line and line == line.strip(), f"an odd line: {line!r}")
            if line.startswith("#"):
                self.read_comment(line, closed)
            else:
                self.read_sample(line)
        for name, kind in self.types.items():
            if kind == "histogram":
                self.check_histogram(name)

    def read_comment(self, line, closed):
        match = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.+)", line)
        check(match, f"a comment that is none: {line!r}")
        word, name, rest = match.groups()
        check(name.startswith(PART), f"a metric of somebody else: {line!r}")
        if word == "HELP":
            check(name not in self.helps, f"two helps: {line!r}")
            self.helps[name] = rest
            return
        check(name not in self.types and name in self.helps, f"out of order: {line!r}")
        check(rest in ("counter", "gauge", "histogram"), f"no type: {line!r}")
        check((rest == "counter") == name.endswith("_total"), f"{name} is a {rest}")
        self.types[name] = rest
        if self.family:
            closed.add(self.family)
        check(name not in closed, f"a metric in two places: {line!r}")
        self.family = name

    def read_sample(self, line):
        match = SAMPLE.fullmatch(line)
        check(match, f"a sample that cannot be read: {line!r}")
        name, labels, value = match.groups()
        labels = read_labels(labels or "", line)
        kind = self.types.get(self.family)
        suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        check(name in [self.family + suffix for suffix in suffixes],
              f"a sample of {name} among those of {self.family}")
        check(("le" in labels) == (name == f"{self.family}_bucket" and kind == "histogram"),
              f"le where it does not belong, or none: {line!r}")
        key = name, frozenset(labels.items())
        check(key not in self.samples, f"a sample twice: {line!r}")
        number = r"\d+(\.\d+)?" if name.endswith("_sum") else r"\d+"
        check(re.fullmatch(number, value), f"a value that is no number: {line!r}")
        self.samples[key] = float(value) if "." in value else int(value)

    def check_histogram(self, name):
        series = {}
        for (sample, labels), value in self.samples.items():
            if sample == name + "_bucket":
                bound = dict(labels)["le"]
                others = frozenset(pair for pair in labels if pair[0] != "le")
                series.setdefault(others, []).append((float(bound.replace("+Inf", "inf")), value))
        for labels, buckets in series.items():
            bounds = [bound for bound, _ in buckets]
            values = [value for _, value in buckets]
            check(bounds == sorted(set(bounds)) and bounds[-1] == float("inf"),
                  f"the bounds of {name} are {bounds}")
            check(values == sorted(values), f"the buckets of {name} are {values}")
            check(self.samples[name + "_count", labels] == values[-1], f"_count and +Inf of {name}")
            total = self.samples[name + "_sum", labels]
            check((total > 0) == (values[-1] > 0), f"{name}: {values[-1]} took {total} s")
        counts = {labels for sample, labels in self.samples if sample == name + "_count"}
        check(counts == set(series), f"{name}: buckets without a count, or the other way round")

    def value(self, name, **labels):
        return self.samples.get((PART + name, frozenset(labels.items())))

    def all(self, name, label):
        """{value of that label: sum of the samples}"""
        found = {}
        for (sample, labels), value in self.samples.items():
            if sample == PART + name:
                word = dict(labels).get(label)
                found[word] = found.get(word, 0) + value
        return found


def scrape(address):
    status, headers, body = get(address)
    check(status == 200, f"status {status}")
    check(headers["content-type"] == CONTENT_TYPE, f"content type {headers['content-type']}")
    check(int(headers["content-length"]) == len(body), "the body has another length")
    return Metrics(body.decode("utf-8"))


def check_not_back(before, after):
    """No counter is smaller than it was, or gone; those of connections go with them."""
    for (name, labels), value in before.samples.items():
        kind = before.types.get(name)
        if kind == "gauge" or name.startswith(PART + "connection_"):
            continue
        now = after.samples.get((name, labels))
        check(now is not None and now >= value, f"{name} {dict(labels)}: {value}, then {now}")


def scrape_until(address, condition, what):
    deadline = time.monotonic() + 30
    while True:
        metrics = scrape(address)
        if condition(metrics):
            return metrics
        check(time.monotonic() < deadline, f"waited half a minute for {what}")
        time.sleep(0.01)
