"""What of a browser the tests of pages need: cookies, redirects and forms."""

import http.cookiejar
import re
import urllib.error
import urllib.parse
import urllib.request
from email.message import Message


class Browser:
    """Each method gives the status, the text and the headers of the page that it ends at."""

    def __init__(self, url: str) -> None:
        self._url = url
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(cookies, urllib.request.ProxyHandler({}))

    def get(self, path: str) -> tuple[int, str, Message]:
        return self._open(urllib.request.Request(self._url + path))

    def post(self, path: str, page: str, fields: list[tuple[str, str]]) -> tuple[int, str, Message]:
        """Sends a form that stands on `page`."""
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert found is not None
        body = urllib.parse.urlencode([("csrfmiddlewaretoken", found[1]), *fields]).encode()
        return self._open(urllib.request.Request(self._url + path, data=body, headers={"Referer": self._url + path}))

    def _open(self, request: urllib.request.Request) -> tuple[int, str, Message]:
        try:
            with self._opener.open(request, timeout=30) as response:
                return response.status, response.read().decode(), response.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(), error.headers


def sign_in(url: str, username: str, password: str, *, then: str = "/admin/") -> Browser:
    browser = Browser(url)
    path = f"/admin/login/?next={then}"
    _, page, _ = browser.get(path)
    browser.post(path, page, [("username", username), ("password", password), ("next", then)])
    return browser
