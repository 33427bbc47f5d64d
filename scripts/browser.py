"""The editor in a headless Chromium: for its end-to-end test and the screenshots in docs/."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 120  # seconds; nothing takes as long, but the machine may be busy
QUIET = 0.7  # seconds; longer than between two looks at a drawing under way
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# Components live in shadow roots, where selectors of the page do not reach.
INSIDE = """
const [key, selector] = arguments;
const host = [...document.querySelectorAll(`.st-key-${key} *`)].find((e) => e.shadowRoot);
return host ? [...host.shadowRoot.querySelectorAll(selector)] : [];
"""


def missing() -> str | None:
    """What is not installed here, None where nothing is missing."""
    if not browser_path():
        return "no Chromium is installed (apt-get install chromium chromium-driver)"
    if not shutil.which("chromedriver"):
        return "no chromedriver is installed (apt-get install chromium-driver)"
    return None


def browser_path() -> str | None:
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Server:
    """`ufc app` on a free port, which stays the same when it is started again."""

    def __init__(self, output: Path, *flags: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "ufc", "app", "--no-browser", "--port", str(port)]
        self.command = [*command, "--output-dir", str(output), *flags]
        self.log = output.parent / f"{output.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self.log.open("ab") as stream:
            process = subprocess.Popen(self.command, stdout=stream, stderr=stream)
        self.process = process
        until(lambda: answers(self.address) or process.poll() is not None, "the server")
        if process.poll() is not None:
            raise RuntimeError(f"the editor did not start: {self.log.read_text()}")

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it in the middle of what it does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)


@contextmanager
def serving(output: Path, *flags: str) -> Iterator[str]:
    """`ufc app` on a free port; gives its address."""
    server = Server(output, *flags)
    try:
        server.start()
        yield server.address
    finally:
        server.stop()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def until(true: Callable[[], Any], what: str) -> Any:
    """Wait until something is true, and give it back."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = true()
        if value:
            return value
        time.sleep(0.1)
    raise TimeoutError(f"waited {PATIENCE} s for {what}")


class Editor:
    """The page as a visitor has it before them."""

    def __init__(self, address: str, width: int = 1440, height: int = 1000) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = browser_path() or ""
        for flag in (
            "--headless=new",
            "--no-sandbox",  # as root, in a container
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            f"--window-size={width},{height}",
        ):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        service = webdriver.ChromeService(shutil.which("chromedriver") or "")
        self.driver = webdriver.Chrome(options, service)
        self.resize(width, height)
        self.open(address)

    def close(self) -> None:
        self.driver.quit()

    def open(self, address: str) -> None:
        self.driver.get(address)
        self.wait(lambda: self.all("textarea") and not self.busy(), "the page")

    def resize(self, width: int, height: int) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 640},
        )

    def wait(self, true: Callable[[], Any], what: str) -> Any:
        wait = WebDriverWait(self.driver, PATIENCE, 0.1, ignored_exceptions=[Exception])
        try:
            return wait.until(lambda _: true())
        except TimeoutException:
            raise TimeoutError(
                f"waited {PATIENCE} s for {what}; the page says: {self.text()}"
            ) from None

    # Finding

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def inside(self, component: str, selector: str) -> list[Any]:
        """Elements of one of our own components."""
        return list(self.driver.execute_script(INSIDE, component, selector) or [])

    def busy(self) -> bool:
        """Whether the page is being regenerated."""
        app = self.all("[data-testid=stApp]")
        return not app or app[0].get_attribute("data-test-script-state") != "notRunning"

    def text(self) -> str:
        return str(self.driver.execute_script("return document.body.innerText"))

    # Doing

    def click(self, selector: str) -> None:
        """Click what is there as soon as it can be; the page may be regenerated meanwhile."""

        def clicked() -> bool:
            element = self.all(selector)[0]
            self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
            if not element.is_enabled():
                return False
            element.click()
            return True

        self.wait(clicked, selector)

    def press(self, key: str) -> None:
        """Press a button of the page by its key."""
        self.click(f".st-key-{key} button")

    def type_prompt(self, text: str) -> None:
        field = self.all("textarea")[0]
        field.send_keys(Keys.CONTROL, "a")  # React gives back what `clear` takes away
        field.send_keys(text)

    def note(self) -> str:
        """What the line under the canvas says."""
        return "".join(line.text for line in self.inside("canvas", ".note"))

    def pictures(self) -> int:
        """How many pictures the history shows."""
        return len(self.inside("gallery", ".item"))

    def generate(self) -> None:
        """Draw, and wait for what is new."""
        before = self.pictures()
        self.press("generate")
        self.wait(lambda: self.pictures() > before and not self.all(".st-key-stop"), "a picture")
        self.settle()

    def settle(self) -> None:
        self.wait(lambda: not self.busy(), "the page to settle")

    def quieten(self) -> None:
        """Wait until the page has asked the server for nothing for a while; forget what it did."""

        def quiet() -> bool:
            self.network()
            time.sleep(QUIET)
            return not self.busy() and sent(self.network()) == 0

        self.wait(quiet, "the page to be quiet")

    def drag(self, *blocks: int) -> None:
        """Drag over blocks, from the first over each to the last."""
        cells = self.wait(lambda: self.inside("canvas", ".ready .cell"), "the canvas")
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", cells[0])
        hand = ActionChains(self.driver, duration=20).move_to_element(cells[blocks[0]])
        hand.click_and_hold()
        for block in blocks[1:]:
            hand.move_to_element(cells[block])
        hand.release().perform()

    def tool(self, name: str) -> None:
        """Press a button of the canvas."""

        def pressed() -> bool:
            (button,) = self.inside("canvas", f"button[data-name={name}]:enabled")
            button.click()
            return True

        self.wait(pressed, f"the tool {name}")

    def marked(self) -> tuple[int, ...]:
        """Blocks that are marked on the canvas."""
        cells = self.inside("canvas", ".cell[aria-checked=true]")
        return tuple(int(cell.get_attribute("data-number")) for cell in cells)

    def slide_to_end(self, key: str) -> None:
        """Set a slider to the most there is, also where the page is regenerated meanwhile."""
        selector = f".st-key-{key} input[type=range]"

        def at_end() -> bool:
            handle = self.all(selector)[0]
            if handle.get_attribute("value") == handle.get_attribute("max"):
                return True
            self.driver.execute_script("arguments[0].focus()", handle)
            ActionChains(self.driver).send_keys(Keys.END).perform()
            return False

        self.wait(lambda: self.all(selector), f"the slider {key}")
        self.wait(at_end, f"the end of {key}")
        self.settle()

    def upload(self, uploader: str, *files: Path) -> None:
        """Give files to the uploader whose key begins so."""
        selector = f"[class*=st-key-{uploader}_] input[type=file]"
        field = self.wait(lambda: self.all(selector), f"the uploader {uploader}")[0]
        field.send_keys("\n".join(map(str, files)))

    def unfold(self, panel: str) -> None:
        self._fold(panel, is_open=True)

    def fold(self, panel: str) -> None:
        self._fold(panel, is_open=False)

    def _fold(self, panel: str, is_open: bool) -> None:
        """Open or close a panel and see it so; a click may meet the page as it is regenerated."""

        def done() -> bool:
            for _ in range(20):
                if bool(self.all(f".st-key-{panel} details[open]")) == is_open:
                    return True
                time.sleep(0.1)
            self.click(f".st-key-{panel} summary")
            return False

        self.wait(lambda: self.all(f".st-key-{panel} summary"), f"the panel {panel}")
        if bool(self.all(f".st-key-{panel} details[open]")) != is_open:
            self.click(f".st-key-{panel} summary")
        self.wait(done, f"the panel {panel}")

    def tab(self, number: int) -> None:
        """Open a tab of the shelf; a click may meet the page as it is regenerated."""

        def opened() -> bool:
            tab = self.all("[class*=st-key-shelf_] [data-testid=stTab]")[number]
            if tab.get_attribute("aria-selected") != "true":
                tab.click()
                return False
            return True

        self.settle()
        self.wait(opened, f"tab {number}")
        self.settle()

    # Watching

    def network(self) -> list[dict[str, Any]]:
        """What went over the wire since this was last asked."""
        entries = self.driver.get_log("performance")
        return [json.loads(entry["message"])["message"] for entry in entries]

    def screenshot(self, path: Path, width: int, least: int = 0) -> None:
        """The whole page, however long, at a width."""
        self.settle()
        script = "return document.querySelector('[data-testid=stMainBlockContainer]').scrollHeight"
        self.resize(width, 1000)
        for _ in range(2):  # its height may change with its width
            height = max(least, int(self.driver.execute_script(script)))
            self.resize(width, height)
            time.sleep(0.5)
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        path.write_bytes(base64.b64decode(shot["data"]))


def sent(messages: Sequence[dict[str, Any]]) -> int:
    """How often the page asked the server for something, over its socket."""
    frames = [m for m in messages if m["method"] == "Network.webSocketFrameSent"]
    return len([f for f in frames if f["params"]["response"].get("opcode") in (1, 2)])


def strangers(messages: Sequence[dict[str, Any]], address: str) -> list[str]:
    """Addresses other than the editor's own that the page asked for."""
    asked = [
        m["params"]["request"]["url"]
        for m in messages
        if m["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in asked if not url.startswith((address, "data:", "blob:", "chrome"))]


os.environ.setdefault("SE_AVOID_STATS", "true")
