"""A page in a real browser: headless Chromium, driven over a pair of pipes by its DevTools protocol.

Source: https://chromedevtools.github.io/devtools-protocol/; over pipes its messages are JSON that ends with a zero byte.
"""
import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Chromium reads its file 3 and writes its file 4; whoever starts it here has other files of these numbers open.
LAUNCH = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
TIMEOUT = 60


def find_chromium():
    """Return the path of Chromium; the test that asks is skipped where there is none."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    pytest.skip(f"no Chromium is installed (looked for {', '.join(NAMES)})")


class Browser:
    """A browser with one page. A context manager.

    Attributes:
        console: list of str. What the page wrote to the console, and what the browser did on its behalf: errors, refusals.
    """

    def __init__(self):
        self.console, self.count, self.rest, self.session = [], 0, b"", None

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, self.write_end = os.pipe()
        self.read_end, theirs_out = os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *map(str, ends), find_chromium(), "--headless", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run", f"--user-data-dir={self.folder.name}", "--remote-debugging-pipe"],
            pass_fds=ends, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        for end in (*ends, theirs_in, theirs_out):
            os.close(end)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.write_end)
        os.close(self.read_end)
        self.folder.cleanup()

    def call(self, method, **params):
        """Send a command and return its result."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        while True:
            found = self._read()
            if found.get("id") == self.count:
                assert "error" not in found, f"{method}: {found['error']}"
                return found["result"]

    def _read(self):
        """Read one message, and keep what it says of the console."""
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.read_end], [], [], TIMEOUT)
            content = os.read(self.read_end, 1 << 20) if ready else b""
            assert content, f"Chromium said nothing for {TIMEOUT} s, or ended"
            self.rest += content
        content, self.rest = self.rest.split(b"\0", 1)
        message = json.loads(content)
        params = message.get("params", {})
        if message.get("method") == "Log.entryAdded":
            self.console.append(params["entry"]["text"])
        elif message.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.console.append(json.dumps(params))
        return message

    def open(self, path, width, height=900):
        """Open a file in a window of this size, as a phone does where it is narrow; wait until its pictures are there."""
        self.console.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.call("Page.navigate", url=Path(path).resolve().as_uri())
        while self.evaluate("document.readyState") != "complete":
            pass

    def evaluate(self, expression):
        """Return the value of a JavaScript expression on the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def scroll_width(self):
        """Return how wide the page is; more than the window makes it scroll sideways."""
        return self.evaluate("document.documentElement.scrollWidth")

    def too_wide(self):
        """Return the elements that reach out of the window and are in no box that scrolls: list of str."""
        return self.evaluate("""[...document.body.querySelectorAll('*')].filter(e =>
            e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !e.closest('.scroll')
            ).map(e => e.outerHTML.slice(0, 120))""")

    def pictures(self):
        """Return for each picture whether it was loaded, and its width on the page: list of [bool, number]."""
        return self.evaluate("""[...document.images].map(i =>
            [i.complete && i.naturalWidth > 0, i.getBoundingClientRect().width])""")

    def screenshot(self, path):
        """Write the whole page as a PNG."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(found["data"]))
