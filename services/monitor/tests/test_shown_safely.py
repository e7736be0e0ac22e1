"""Goal: S19: what a charge point or driver writes is shown as it is, and is nothing but text in a page.

Method: the tokens of the hostile charge point, as children and as attributes of HTML.
"""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from holdfast_simulators.hostile.frames import TOKENS
from monitor.pages.html import el


class Found(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text, self.attributes = [], "", []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("token", TOKENS)
def test_s19_a_driver_token_in_a_page_is_nothing_but_text(token):
    found = Found()
    found.feed(str(el("td", token, title=token)))
    found.close()
    assert found.tags == ["td"]
    assert found.text == token
    assert found.attributes == [("title", token)]
