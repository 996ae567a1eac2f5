"""Topics and identifiers outside the naming rules."""

from __future__ import annotations

from typing import Any

import pytest

from models.contract.errors import TopicError
from models.contract.topics import (
    CHANNELS,
    QOS,
    RETAINED_CHANNELS,
    build,
    bundle_topic,
    check_identifier,
    everyone,
    parse,
)


@pytest.mark.parametrize(
    "name",
    ["", "A", "a b", "a/b", "a+", "#", "é", "a\n", "a" * 65, "ａ", "a.b", "$sys", None, 5, b"a"],
)
def test_a_name_that_is_no_identifier(name: Any) -> None:
    with pytest.raises(TopicError, match="is not an identifier; use 1 to 64 of a-z"):
        check_identifier(name)


def test_the_name_that_belongs_to_bundles() -> None:
    with pytest.raises(TopicError, match="'bundles' is reserved for model bundles"):
        check_identifier("bundles")
    with pytest.raises(TopicError, match="is reserved"):
        build("bundles", "data")
    with pytest.raises(TopicError, match="is reserved"):
        parse("solar/bundles/data")


@pytest.mark.parametrize("name", ["a", "bundles1", "-", "_", "0", "a" * 64, "device_01"])
def test_names_that_are_identifiers(name: str) -> None:
    assert check_identifier(name) == name


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "solar",
        "solar/a",
        "solar/a/data/x",
        "Solar/a/data",
        "/solar/a/data",
        "solar/a/data/",
        "solar//data",
        "solar/a/nonsense",
        "solar/a/DATA",
        "solar/+/data",
        "solar/#",
        "x" * 70000,
    ],
)
def test_a_topic_outside_the_contract(topic: str) -> None:
    with pytest.raises(TopicError) as refusal:
        parse(topic)
    assert len(str(refusal.value)) < 300


def test_a_channel_that_does_not_exist() -> None:
    with pytest.raises(TopicError, match="unknown channel 'dat'; known: data, batch"):
        build("a", "dat")
    with pytest.raises(TopicError, match="unknown channel 'dat'"):
        everyone("dat")


def test_topics_are_those_of_the_design() -> None:
    assert build("device_01", "data") == "solar/device_01/data"
    assert everyone("batch") == "solar/+/batch"
    assert QOS == 1
    assert {"forecast", "status", "weather"} == RETAINED_CHANNELS < set(CHANNELS)


@pytest.mark.parametrize("path", ["metadata/1.root.json", "targets/ab12.model.so/0003"])
def test_a_file_of_the_bundle_repository_has_a_topic(path: str) -> None:
    assert bundle_topic(path) == f"solar/bundles/{path}"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/metadata",
        "metadata/",
        "a//b",
        "../x",
        "a/../b",
        "a/./b",
        "a+b",
        "a/#",
        "a\x00b",
        "a b",
        "é",
        "�",
        "a\n",
        "x" * 1001,
    ],
)
def test_a_path_that_leaves_the_bundle_repository_or_is_a_filter(path: str) -> None:
    with pytest.raises(TopicError, match="not a path in the bundle repository"):
        bundle_topic(path)
