"""Ways between boards: none is an island, and links only carry what the next board understands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from board_json import every_panel

from dashboards.boards import all_boards
from dashboards.boards.empty import EMPTY_OK

Document = dict[str, Any]


def cell_links(document: Document) -> Iterator[tuple[str, str]]:
    """(panel title, url) behind cells."""
    for panel in every_panel(document):
        for link in panel.get("fieldConfig", {}).get("defaults", {}).get("links", []):
            yield panel["title"], link["url"]
        for override in panel.get("fieldConfig", {}).get("overrides", []):
            for prop in override["properties"]:
                if prop["id"] == "links":
                    for link in prop["value"]:
                        yield panel["title"], link["url"]


def target(url: str) -> str:
    found = re.fullmatch(r"/d/(gw-[a-z]+)", urlsplit(url).path)
    assert found, url
    return found[1]


def test_every_board_links_to_every_other_and_keeps_the_readers_choice(
    documents: dict[str, Document],
) -> None:
    for uid, document in documents.items():
        assert {target(link["url"]) for link in document["links"]} == documents.keys() - {uid}
        assert all(link["keepTime"] and link["includeVars"] for link in document["links"])
        titles = {documents[target(link["url"])]["title"]: link["title"] for link in document["links"]}
        assert all(board == shown for board, shown in titles.items())


def test_links_set_only_variables_that_the_next_board_has(documents: dict[str, Document]) -> None:
    seen = 0
    for uid, document in documents.items():
        own = {variable["name"] for variable in document["templating"]["list"]}
        columns = {
            title
            for panel in every_panel(document)
            if panel["type"] == "table"
            for title in panel["transformations"][1]["options"]["renameByName"].values()
        }
        for panel, url in cell_links(document):
            seen += 1
            there = {variable["name"] for variable in documents[target(url)]["templating"]["list"]}
            where = f"{uid} / {panel}: {url}"
            assert set(re.findall(r"var-(\w+)=", url)) <= there, where
            assert set(re.findall(r"\$\{(\w+):queryparam\}", url)) <= own & there, where
            assert set(re.findall(r"__data\.fields\.(\w+)", url)) <= columns, where
    assert seen > 40


def test_the_way_down_leads_from_site_to_rack_to_node_to_gpu_to_job(documents: dict[str, Document]) -> None:
    ways = {uid: {target(url) for _, url in cell_links(document)} for uid, document in documents.items()}
    assert {"gw-rack", "gw-node"} <= ways["gw-fleet"]
    assert "gw-node" in ways["gw-rack"]
    assert "gw-job" in ways["gw-node"]
    assert {"gw-node", "gw-training"} <= ways["gw-job"]
    assert {"gw-job", "gw-node"} <= ways["gw-training"]
    assert {"gw-node", "gw-serving"} <= ways["gw-serving"]
    assert "gw-serving" in ways["gw-tokens"]
    assert "gw-node" in ways["gw-predict"]


def test_every_panel_that_may_be_empty_exists(documents: dict[str, Document]) -> None:
    titles = {(uid, panel["title"]) for uid, document in documents.items() for panel in every_panel(document)}
    assert EMPTY_OK.keys() <= titles
    assert all(len(reason) > 15 for reason in EMPTY_OK.values())


def test_every_description_asks_or_tells_something() -> None:
    for board in all_boards():
        for panel in board.panels():
            assert "?" in panel.description or panel.kind == "text", f"{board.uid} / {panel.title}"
