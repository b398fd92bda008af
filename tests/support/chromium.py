"""A real Chromium through chromedriver's own HTTP interface (W3C WebDriver), without a library for it."""

from __future__ import annotations

import re
import shutil
import subprocess
from types import TracebackType
from typing import Any, Self

import httpx

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
_READY = re.compile(r"started successfully on port (\d+)")


class Chromium:
    """One browser window of that size; `run` executes JavaScript, `console` gives what the page complained of."""

    def __init__(self, width: int, height: int, language: str = "en") -> None:
        assert DRIVER
        self._driver = subprocess.Popen(
            [DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self._port()}", timeout=30, trust_env=False)
        options = {
            "binary": BROWSER,
            "args": [
                *_ARGUMENTS,
                f"--window-size={width},{height}",
                f"--lang={language}",
                f"--accept-lang={language}",
            ],
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self._call("POST", "/session", capabilities={"alwaysMatch": wanted})["sessionId"]
        self._session = f"/session/{session}"
        self._narrow(width, height)

    def _narrow(self, width: int, height: int) -> None:
        """A window cannot be narrower than 500 pixels; what the page sees can."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call(
            "POST", f"{self._session}/goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride", params=size
        )

    def _port(self) -> str:
        assert self._driver.stdout
        for line in self._driver.stdout:
            if ready := _READY.search(line):
                return ready[1]
        raise AssertionError("chromedriver did not start")

    def _call(self, method: str, path: str, **body: Any) -> Any:
        answer = self._http.request(method, path, json=body if method == "POST" else None)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call("DELETE", self._session)
        self._http.close()
        self._driver.terminate()
        self._driver.wait(10)
        assert self._driver.stdout
        self._driver.stdout.close()

    def open(self, url: str) -> None:
        """Load a page."""
        self._call("POST", f"{self._session}/url", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """Execute the body of a function in the page; returns what it returns."""
        return self._call("POST", f"{self._session}/execute/sync", script=script, args=list(arguments))

    def until(self, expression: str, seconds: float = 10) -> Any:
        """Wait in the page until an expression is true; returns its value."""
        script = (
            "const done = arguments[arguments.length - 1], end = Date.now() + arguments[0] * 1000;"
            f"const look = () => {{ const value = ({expression});"
            "if (value || Date.now() > end) done(value); else requestAnimationFrame(look) }; look()"
        )
        value = self._call("POST", f"{self._session}/execute/async", script=script, args=[seconds])
        assert value, f"never true: {expression}"
        return value

    def screenshot(self) -> str:
        """What the window shows: a PNG in base64."""
        value: str = self._call("GET", f"{self._session}/screenshot")
        return value

    def console(self) -> list[str]:
        """What the page complained of since the last time."""
        entries = self._call("POST", f"{self._session}/se/log", type="browser")
        return [entry["message"] for entry in entries]
