"""A real Chromium through chromedriver's own HTTP interface (W3C WebDriver), without a library for it."""

from __future__ import annotations

import asyncio
import atexit
import json
import re
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import httpx

from tests.support.deadlines import MAX_REQUEST_SECONDS, MAX_WAIT_SECONDS

DRIVER = shutil.which("chromedriver")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = (
    ""
    if DRIVER and BROWSER
    else "chromium and chromedriver are not installed (Debian: apt-get install chromium-driver)"
)

_ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
]
WAIT_STEP_SECONDS = 2.0  # seconds; a script that waits in a page that is loaded again gets no answer
SCRIPT_TIMEOUT_MS = int(1000 * MAX_WAIT_SECONDS)  # milliseconds that a script may take

_READY = re.compile(r"started successfully on port (\d+)")


def visit(call: Callable[..., Any], *arguments: Any) -> Awaitable[Any]:
    """Calls the browser in a thread, so that the loop goes on."""
    return asyncio.to_thread(call, *arguments)


class BrowserProcess:
    """A chromedriver and the browser that it has started."""

    def __init__(self, language: str, *, watch: bool) -> None:
        assert DRIVER
        port = self._start_driver()
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=MAX_REQUEST_SECONDS, trust_env=False
        )
        options = {
            "binary": BROWSER,
            "args": [*_ARGUMENTS, f"--lang={language}", f"--accept-lang={language}"],
        }
        kept = {"browser": "ALL", **({"performance": "ALL"} if watch else {})}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": kept}
        session = self.call("POST", "/session", capabilities={"alwaysMatch": wanted})["sessionId"]
        self.logs = [*kept]
        self.session = f"/session/{session}"

    def _start_driver(self) -> str:
        """Starts chromedriver; returns its port.

        It takes a free port on IPv6 and ends if another process has the same one on IPv4: then it is started again.
        """
        output: list[str] = []
        for _ in range(5):
            self._driver = subprocess.Popen(
                [DRIVER or "", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            assert self._driver.stdout
            for line in self._driver.stdout:
                if ready := _READY.search(line):
                    return ready[1]
                output.append(line)
            self._end_driver()  # nobody calls `quit` after a constructor that fails
        raise AssertionError(f"chromedriver did not start: {''.join(output)}")

    def _end_driver(self) -> None:
        self._driver.terminate()
        self._driver.wait(MAX_WAIT_SECONDS)
        assert self._driver.stdout
        self._driver.stdout.close()

    def call(self, method: str, path: str, **body: Any) -> Any:
        answer = self.http.request(method, path, json=body if method == "POST" else None)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def forget(self) -> None:
        """Leaves a new tab, and nothing of what was before."""
        new = self.call("POST", f"{self.session}/window/new", type="tab")["handle"]
        self.call("DELETE", f"{self.session}/window")
        self.call("POST", f"{self.session}/window", handle=new)
        for command in ("Network.clearBrowserCookies", "Network.clearBrowserCache"):
            self.call("POST", f"{self.session}/goog/cdp/execute", cmd=command, params={})
        for name in self.logs:
            self.call("POST", f"{self.session}/se/log", type=name)

    def quit(self) -> None:
        self.call("DELETE", self.session)
        self.http.close()
        self._end_driver()


_idle: dict[tuple[str, bool], list[BrowserProcess]] = {}
"""Browsers that no test has at the moment, by language and whether their network is watched."""


@atexit.register
def quit_idle_browsers() -> None:
    """Ends the browsers that no test has: after each file of tests, and at the end."""
    while _idle:
        _, processes = _idle.popitem()
        for process in processes:
            process.quit()


class Chromium:
    """A browser window of this size; `run` executes JavaScript, `console` returns the errors of the page.

    With `watch` requests are recorded, for `requested`. Its process is used for one window after the other,
    since a start takes longer than most tests.
    """

    def __init__(self, width: int, height: int, language: str = "en", *, watch: bool = False) -> None:
        self._key = language, watch
        idle = _idle.get(self._key)
        self._process = idle.pop() if idle else BrowserProcess(language, watch=watch)
        self._http, self._call, self._session = (
            self._process.http, self._process.call, self._process.session,
        )  # fmt: skip
        self._set_size(width, height)

    def _set_size(self, width: int, height: int) -> None:
        """Sets the size of the page: a window cannot be narrower than 500 pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.devtools("Emulation.setDeviceMetricsOverride", **size)

    def devtools(self, command: str, **parameters: Any) -> Any:
        """Sends a command of the Chrome DevTools Protocol; returns its result."""
        return self._call("POST", f"{self._session}/goog/cdp/execute", cmd=command, params=parameters)

    def prefer(self, scheme: str) -> None:
        """Sets the preferred color scheme, `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.devtools("Emulation.setEmulatedMedia", features=features)

    def whole(self) -> None:
        """Makes the window as high as the page."""
        self._set_size(*self.run("return [innerWidth, document.documentElement.scrollHeight]"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keeps the process for the next window, unless the test failed."""
        if error is not None:
            self._process.quit()
        else:
            self._process.forget()
            _idle.setdefault(self._key, []).append(self._process)

    def open(self, url: str) -> None:
        """Loads a page."""
        self._call("POST", f"{self._session}/url", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """Executes the body of a function in the page; returns its result."""
        return self._call("POST", f"{self._session}/execute/sync", script=script, args=list(arguments))

    def until(self, expression: str, seconds: float = MAX_WAIT_SECONDS) -> Any:
        """Waits in the page until an expression is true, also over a reload; returns its value."""
        script = (
            "const done = arguments[arguments.length - 1], end = Date.now() + arguments[0] * 1000;"
            f"const look = () => {{ const value = ({expression});"
            "if (value || Date.now() > end) done(value); else setTimeout(look, 20) }; look()"
        )
        deadline, last_error = time.monotonic() + seconds, ""
        self._call("POST", f"{self._session}/timeouts", script=int(2000 * WAIT_STEP_SECONDS))
        while (left := deadline - time.monotonic()) > 0:
            waiting = {"script": script, "args": [min(left, WAIT_STEP_SECONDS)]}
            answer = self._http.post(f"{self._session}/execute/async", json=waiting)
            value = answer.json()["value"] if answer.status_code == 200 else None
            if value:
                self._call("POST", f"{self._session}/timeouts", script=SCRIPT_TIMEOUT_MS)
                return value
            last_error = "" if answer.status_code == 200 else answer.text
        raise AssertionError(f"never true: {expression} {last_error}")

    def promise(self, expression: str) -> Any:
        """Returns the result of a promise in the page."""
        script = f"const done = arguments[arguments.length - 1]; ({expression}).then(done, why => done(`${{why}}`))"
        return self._call("POST", f"{self._session}/execute/async", script=script, args=[])

    def press(self, *keys: str) -> None:
        """Presses keys, one after the other, where the focus is; see W3C WebDriver 17.4.2 for special ones."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        sources = [{"type": "key", "id": "keyboard", "actions": actions}]
        self._call("POST", f"{self._session}/actions", actions=sources)

    def requested(self) -> list[str]:
        """Returns the addresses that were requested since the last call, in all pages."""
        entries = self._call("POST", f"{self._session}/se/log", type="performance")
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def screenshot(self) -> str:
        """Returns a PNG of the window in base64."""
        value: str = self._call("GET", f"{self._session}/screenshot")
        return value

    def console(self) -> list[str]:
        """Returns the messages in the console since the last call."""
        entries = self._call("POST", f"{self._session}/se/log", type="browser")
        return [entry["message"] for entry in entries]
