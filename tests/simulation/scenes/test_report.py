"""What came of scenes, for people and for machines."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from antiphon.simulation.scenes.caller import Failure
from antiphon.simulation.scenes.report import explanation, junit
from antiphon.simulation.scenes.running import Moment, Result

PASSED = Result("one", "a.scene.yaml", 1, 7, "passed", virtual_seconds=12.5, real_seconds=0.25)
FAILED = Result(
    "two <&>",
    "a.scene.yaml",
    9,
    7,
    "failed",
    (Failure("too late \x00", "expect.0", 2.0, "a.scene.yaml:12"), Failure("no answer", "", None, "a.scene.yaml:9")),
    (Moment(0.0, "agent", "Hello"), Moment(3.0, "caller", "says hi")),
    real_seconds=0.5,
)
BROKEN = Result("three", "b.scene.yaml", 1, 0, "broken", (Failure("no such agent", ""),))


def test_a_failure_stands_where_it_happened() -> None:
    """In the call's timeline; all failures come first, each with its line."""
    assert explanation(FAILED).splitlines() == [
        "a.scene.yaml:12: expect.0: too late \x00",
        "a.scene.yaml:9: no answer",
        "",
        "     0.0 s  agent   Hello",
        ">    2.0 s  FAILED  expect.0: too late \x00",
        "     3.0 s  caller  says hi",
    ]


def test_junit_is_valid_xml_with_the_right_counts() -> None:
    """One suite for each file; a failure, an error, what XML cannot hold."""
    root = ET.fromstring(junit([PASSED, FAILED, BROKEN]))
    assert root.tag == "testsuites"
    assert {name: root.attrib[name] for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3",
        "failures": "1",
        "errors": "1",
        "skipped": "0",
    }
    first, second = root.findall("testsuite")
    assert (first.attrib["name"], first.attrib["tests"], first.attrib["failures"]) == ("a.scene.yaml", "2", "1")
    assert (second.attrib["name"], second.attrib["errors"]) == ("b.scene.yaml", "1")
    one, two = first.findall("testcase")
    assert (one.attrib["name"], one.attrib["time"], list(one.iter("failure"))) == ("one", "0.250", [])
    assert [(p.attrib["name"], p.attrib["value"]) for p in one.iter("property")] == [
        ("seed", "7"),
        ("virtual_seconds", "12.5"),
    ]
    failure = two.find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "too late �; no answer"
    assert "says hi" in (failure.text or "")
    assert second.find("testcase/error") is not None
