"""What came of scenes, told to people and to machines."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from .caller import Failure
from .running import Result

_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"Characters that XML 1.0 has no way to write."


def headline(failure: Failure) -> str:
    """One failure in one line, with its place."""
    where = ": ".join(part for part in (failure.place, failure.where) if part)
    return f"{where}: {failure.message}" if where else failure.message


def timeline(result: Result) -> list[str]:
    """Who said what when, with the failures in between where they have a time."""
    lines = [(moment.at, 0, f"  {moment.at:6.1f} s  {moment.who:<6}  {moment.text}") for moment in result.timeline]
    lines += [
        (failure.at, 1, f"> {failure.at:6.1f} s  {'FAILED':<6}  {failure.where or 'call'}: {failure.message}")
        for failure in result.failures
        if failure.at is not None
    ]
    return [text for _, _, text in sorted(lines, key=lambda line: line[:2])]


def explanation(result: Result) -> str:
    """What a scene that did not pass did wrong, for a terminal: its failures, then the call."""
    lines = [headline(failure) for failure in result.failures]
    if result.timeline:
        lines += ["", *timeline(result)]
    if result.recorded:
        lines += ["", f"journal: {result.recorded}"]
    return "\n".join(lines)


def junit(results: Sequence[Result]) -> bytes:
    """The results as JUnit XML, one test suite for each file."""
    root = ET.Element("testsuites", _counts(results), name="antiphon simulate")
    for file in dict.fromkeys(result.file for result in results):
        of_file = [result for result in results if result.file == file]
        suite = ET.SubElement(root, "testsuite", _counts(of_file), name=_text(file))
        for result in of_file:
            _case(suite, result)
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _counts(results: Sequence[Result]) -> dict[str, str]:
    return {
        "tests": str(len(results)),
        "failures": str(sum(result.status == "failed" for result in results)),
        "errors": str(sum(result.status == "broken" for result in results)),
        "skipped": "0",
        "time": f"{sum(result.real_seconds for result in results):.3f}",
    }


def _case(suite: ET.Element, result: Result) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        name=_text(result.name),
        classname=_text(result.file),
        file=_text(result.file),
        line=str(result.line),
        time=f"{result.real_seconds:.3f}",
    )
    properties = ET.SubElement(case, "properties")
    ET.SubElement(properties, "property", name="seed", value=str(result.seed))
    ET.SubElement(properties, "property", name="virtual_seconds", value=f"{result.virtual_seconds:g}")
    if result.status == "passed":
        return
    message = "; ".join(failure.message for failure in result.failures)
    kind = "failure" if result.status == "failed" else "error"
    ET.SubElement(case, kind, message=_text(message), type=result.status).text = _text(explanation(result))


def _text(text: str) -> str:
    return _NOT_IN_XML.sub("�", text)
