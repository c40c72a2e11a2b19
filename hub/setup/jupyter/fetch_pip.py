"""Fetches one known pip wheel with nothing but Python's standard library.

Debian's python3 comes without pip and ensurepip. The index, its certificates and the proxy are those that pip itself
would use: PIP_* variables, then pip's configuration files. The wheel counts only if its sha256 is the expected one.

usage: python3 fetch_pip.py FILE SHA256 TARGET_FOLDER
"""

import base64
import configparser
import hashlib
import os
import ssl
import sys
import urllib.parse
import urllib.request
from html.parser import HTMLParser
from pathlib import Path

TIMEOUT_SECONDS = 30
LONGEST_PAGE_BYTES = 20 * 2**20
LONGEST_WHEEL_BYTES = 20 * 2**20


def configuration_files():
    if os.environ.get("PIP_CONFIG_FILE") == os.devnull:
        return []
    home = Path.home()
    shared = os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")
    own = os.environ.get("XDG_CONFIG_HOME") or home / ".config"
    files = [Path(folder) / "pip/pip.conf" for folder in reversed(shared) if folder]
    files += [Path("/etc/pip.conf"), home / ".pip/pip.conf", Path(own) / "pip/pip.conf"]
    if os.environ.get("PIP_CONFIG_FILE"):
        files.append(Path(os.environ["PIP_CONFIG_FILE"]))
    return files


def pip_setting(name):
    """The variable before the files; of the files the last; of a file [install] before [global]."""
    value = os.environ.get("PIP_" + name.upper().replace("-", "_"))
    if value:
        return value
    for file in reversed(configuration_files()):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(file)
        except (OSError, configparser.Error, UnicodeDecodeError):
            continue
        for section in ("install", "global"):
            value = parser.get(section, name, fallback=None)
            if value:
                return value
    return None


def opener():
    bundle = pip_setting("cert") or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    context = ssl.create_default_context(cafile=bundle if bundle and os.path.exists(bundle) else None)
    proxy = pip_setting("proxy")
    proxies = urllib.request.ProxyHandler({"http": proxy, "https": proxy} if proxy else None)
    return urllib.request.build_opener(proxies, urllib.request.HTTPSHandler(context=context))


def fetch(open_url, url, most_bytes):
    """The body, and the address that it came from in the end. A user and password in the address become a header."""
    parts = urllib.parse.urlsplit(url)
    headers = {"Accept": "application/vnd.pypi.simple.v1+html, text/html, */*;q=0.1"}
    if parts.username:
        user = urllib.parse.unquote(parts.username) + ":" + urllib.parse.unquote(parts.password or "")
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
        host = parts.hostname + (":%d" % parts.port if parts.port else "")
        url = urllib.parse.urlunsplit(parts._replace(netloc=host))
    with open_url(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS) as answer:
        body = answer.read(most_bytes + 1)
        if len(body) > most_bytes:
            raise ValueError("the answer is too long")
        return body, answer.geturl()


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        if tag == "a":
            self.found += [value for name, value in attributes if name == "href" and value]


def from_folders(file):
    """A copy in a local folder of --find-links: for machines without a network."""
    for place in (pip_setting("find-links") or "").split():
        folder = Path(place[len("file://") :] if place.startswith("file://") else place)
        if (folder / file).is_file():
            return (folder / file).read_bytes()
    return None


def from_index(file):
    index = (pip_setting("index-url") or "https://pypi.org/simple").rstrip("/")
    open_url = opener().open
    page, base = fetch(open_url, index + "/pip/", LONGEST_PAGE_BYTES)
    links = Links()
    links.feed(page.decode("utf-8", "replace"))
    for link in links.found:
        url = urllib.parse.urljoin(base, link)
        if urllib.parse.unquote(urllib.parse.urlsplit(url).path).rsplit("/", 1)[-1] == file:
            return fetch(open_url, with_user(url, index), LONGEST_WHEEL_BYTES)[0]
    raise LookupError("the package index does not have %s" % file)


def with_user(url, index):
    """The index's own user and password, for files on the same host."""
    wanted, known = urllib.parse.urlsplit(url), urllib.parse.urlsplit(index)
    if wanted.hostname != known.hostname or not known.username or wanted.username:
        return url
    netloc = known.netloc.rsplit("@", 1)[0] + "@" + wanted.netloc
    return urllib.parse.urlunsplit(wanted._replace(netloc=netloc))


def main():
    file, expected, folder = sys.argv[1:]
    try:
        wheel = from_folders(file) or from_index(file)
    except Exception as error:  # whatever it is, one line without the address, which may carry a password
        reason = getattr(error, "reason", None) or error
        sys.exit("the package index can't be reached: %s" % str(reason).splitlines()[0][:200])
    if hashlib.sha256(wheel).hexdigest() != expected:
        sys.exit("the package index has another %s than the one that was tested" % file)
    (Path(folder) / file).write_bytes(wheel)


main()
