"""A page in a real browser: headless Chromium, controlled through two pipes with the DevTools protocol.

Source: https://chromedevtools.github.io/devtools-protocol/. Over pipes, each message is JSON followed by a zero byte.
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
# Chromium reads from file descriptor 3 and writes to 4, which may be in use in the process that starts it.
LAUNCH = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
TIMEOUT = 60


def find_chromium():
    """Return the path of Chromium, or skip the running test if it is not installed."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    pytest.skip(f"Chromium is not installed (looked for {', '.join(NAMES)})")


class Browser:
    """A browser with one page. A context manager.

    Attributes:
        console: list of str. The console messages of the page, and those of the browser about it, such as blocked requests.
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
            answer = self._read()
            if answer.get("id") == self.count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _read(self):
        """Read one message, and keep it in `console` if it is a console message."""
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.read_end], [], [], TIMEOUT)
            content = os.read(self.read_end, 1 << 20) if ready else b""
            assert content, f"Chromium sent nothing for {TIMEOUT} s, or exited"
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
        """Open a file in a window of this size, as on a phone if it is narrow, and wait until its images are loaded."""
        self.console.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.call("Page.navigate", url=Path(path).resolve().as_uri())
        while self.evaluate("document.readyState") != "complete":
            pass

    def evaluate(self, expression):
        """Return the value of a JavaScript expression on the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def scroll_width(self):
        """Return the width of the page. If it exceeds the window, the page scrolls sideways."""
        return self.evaluate("document.documentElement.scrollWidth")

    def too_wide(self):
        """Return the elements that extend beyond the window, outside scrollable boxes: list of str."""
        return self.evaluate("""[...document.body.querySelectorAll('*')].filter(e =>
            e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !e.closest('.scroll')
            ).map(e => e.outerHTML.slice(0, 120))""")

    def pictures(self):
        """Return for each image whether it was loaded, and its width on the page: list of [bool, number]."""
        return self.evaluate("""[...document.images].map(i =>
            [i.complete && i.naturalWidth > 0, i.getBoundingClientRect().width])""")

    def screenshot(self, path):
        """Write the whole page as a PNG."""
        result = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(result["data"]))
