"""A hub on this machine: as much of its protocol as uploads and downloads of the client use.

Repositories, commits, the list of files, regular and large (LFS) files, revisions, tokens. Large
files of several parts and the deduplicating transfer (Xet) are not here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

TOKEN = "hf_test"
LARGE = ".safetensors"


class Handler(BaseHTTPRequestHandler):
    """Answers of the hub; `server.repositories` has commits by name, oldest first."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(self.path.partition("?")[0])
        self.server.asked.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        if path == "/":
            self._send(200, b"")
        elif path == "/api/repos/create":
            self._create(json.loads(data))
        elif path == "/api/validate-yaml":
            self._json({"warnings": [], "errors": []})
        elif parts[0] == "store":
            self.server.large[parts[1]] = data
            self._send(200, b"")
        elif parts[-4:] == ["info", "lfs", "objects", "batch"]:
            self._batch(json.loads(data))
        elif parts[:2] == ["api", "models"]:
            self._of_model("/".join(parts[2:4]), parts[4:], data)
        elif "resolve" in parts:
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._send(404, b"")

    def _create(self, asked: dict[str, Any]) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send(401, b"{}")
            return
        name = f"{asked.get('organization', 'user')}/{asked['name']}"
        if name in self.server.repositories:
            known = {"error": "You already created this model repo", "url": self._page(name)}
            self._json(known, 409)
            return
        self.server.commit(name, {".gitattributes": b""})
        self._json({"url": self._page(name)})

    def _page(self, name: str) -> str:
        return f"{self.server.address}/{name}"

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = [
            {
                "oid": each["oid"],
                "size": each["size"],
                "actions": {"upload": {"href": f"{self.server.address}/store/{each['oid']}"}},
            }
            for each in asked["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def _of_model(self, name: str, rest: list[str], data: bytes) -> None:
        if name not in self.server.repositories:
            self._missing("RepoNotFound", 404 if "Authorization" in self.headers else 401)
        elif rest[:1] == ["preupload"]:
            files, there = json.loads(data)["files"], self.server.repositories[name][-1][1]
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                    "oid": _identity(file["path"], there.get(file["path"])),
                }
                for file in files
            ]
            self._json({"files": modes})
        elif rest[:1] == ["commit"]:
            self._commit(name, [json.loads(line) for line in data.splitlines()])
        else:
            self._info(name, rest)

    def _info(self, name: str, rest: list[str]) -> None:
        found = self.server.at(name, rest[1] if len(rest) > 1 else "main")
        if found is None:
            self._missing("RevisionNotFound")
            return
        sha, files = found
        if rest[:1] == ["tree"]:
            self._json(
                [
                    {"type": "file", "path": path, "size": len(content), "oid": _sha1(content)}
                    for path, content in files.items()
                ]
            )
        else:
            names = [{"rfilename": path} for path in files]
            self._json({"id": name, "modelId": name, "sha": sha, "siblings": names})

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send(403, b"{}")
            return
        _, files = self.server.at(name, "main") or ("", {})
        files = dict(files)
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        sha = self.server.commit(name, files)
        self._json({"commitUrl": f"{self.server.address}/{name}/commit/{sha}", "commitOid": sha})

    def _file(self, name: str, revision: str, path: str) -> None:
        if name not in self.server.repositories:
            self._missing("RepoNotFound", 404 if "Authorization" in self.headers else 401)
            return
        found = self.server.at(name, revision)
        if found is None:
            self._missing("RevisionNotFound")
        elif path not in found[1]:
            self._missing("EntryNotFound")
        else:
            content = self.server.tampered.get(path, found[1][path])
            headers = {"X-Repo-Commit": found[0], "ETag": f'"{_sha1(found[1][path])}"'}
            self._send(200, content, headers)

    def _missing(self, code: str, status: int = 404) -> None:
        self._send(status, b"{}", {"X-Error-Code": code})

    def _json(self, answer: Any, status: int = 200) -> None:
        self._send(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


class Hub(ThreadingHTTPServer):
    """Repositories in memory; `tampered` are bytes that are sent in place of a file's own."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.large: dict[str, bytes] = {}
        self.tampered: dict[str, bytes] = {}
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def commit(self, name: str, files: dict[str, bytes]) -> str:
        """Add a commit and return its hash."""
        commits = self.repositories.setdefault(name, [])
        sha = _sha1(f"{name} {len(commits)} {sorted(files)}".encode())
        commits.append((sha, dict(files)))
        return sha

    def at(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit of a revision; None if there is none."""
        commits = self.repositories[name]
        if revision == "main":
            return commits[-1]
        return next((commit for commit in commits if commit[0] == revision), None)


def _identity(path: str, content: bytes | None) -> str | None:
    """How the client calls a file that is there: as git does, or by the hash of a large file."""
    if content is None:
        return None
    if path.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return _sha1(b"blob %d\0" % len(content) + content)


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that answers inside the block."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
