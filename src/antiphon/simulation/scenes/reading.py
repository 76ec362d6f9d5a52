"""Scene files -> scenes. What is wrong in one is told with its file, its line and its place in the document.

YAML as its version 1.2 has it: `yes`, `no`, `on` and `12:30` are texts. JSON is YAML. A file holds one scene, several
documents, or a list under `scenes`, with defaults for all of them beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from antiphon.errors import ConfigError

from .document import Scene, SceneFile

if TYPE_CHECKING:
    import yaml

SUFFIXES = (".scene.yaml", ".scene.yml", ".scene.json")
"How files of scenes end, for a folder to be searched for them."


@dataclass(frozen=True, slots=True)
class Located:
    """A scene and where it stands."""

    scene: Scene
    file: Path
    line: int
    lines: Mapping[str, int] = field(default_factory=dict[str, int])
    "Lines of its steps, expectations and tools: `expect.3` -> 27."

    def place(self, where: str) -> str:
        """Where a part of the scene stands, for a message: `orders.scene.yaml:27`."""
        return f"{self.file}:{self.lines.get(where, self.line)}"


class SceneError(ConfigError):
    """A scene file cannot be understood; `problems` are all that was found, one line of text each."""

    def __init__(self, file: Path, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.path = str(file)
        self.problems = tuple(problems)


def scene_files(path: Path) -> list[Path]:
    """The file itself, or every scene file in a folder and below, by name.

    Raises:
        ConfigError: there is no such file or folder.
    """
    if path.is_dir():
        return sorted(file for file in path.rglob("*.scene.*") if file.name.endswith(SUFFIXES))
    if not path.exists():
        raise ConfigError("there is no such file or folder", path=str(path))
    return [path]


def read_scenes(file: Path) -> list[Located]:
    """The scenes of a file, in its order.

    Raises:
        SceneError: it cannot be read, or something in it is missing, unknown or impossible.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SceneError(file, [f"{file}: cannot be read: {error}"]) from error
    located: list[Located] = []
    problems: list[str] = []
    for document, root in _documents(text, file):
        for raw, nodes in _scenes(document, root, file):
            try:
                scene = Scene.model_validate(raw)
            except ValidationError as error:
                problems.extend(_complaints(error, raw, nodes, file))
            else:
                located.append(Located(scene, file, _line(nodes[0]), _lines(nodes)))
    problems.extend(_twice(located))
    if not located and not problems:
        problems.append(f"{file}: there is no scene in it")
    if problems:
        raise SceneError(file, problems)
    return located


def _twice(located: Sequence[Located]) -> Iterator[str]:
    first: dict[str, int] = {}
    for each in located:
        if each.scene.name in first:
            yield (
                f"{each.file}:{each.line}: name: there is a scene {each.scene.name!r} already, in line "
                f"{first[each.scene.name]}"
            )
        first.setdefault(each.scene.name, each.line)


# ----------------------------------------------------------------------------------------------------------- YAML


def _loader() -> type[yaml.SafeLoader]:
    """A safe loader with the scalars of YAML 1.2's core schema. Raises ConfigError where the package is missing."""
    try:
        import yaml
    except ImportError as error:
        raise ConfigError("scenes need PyYAML: pip install 'antiphon[simulate]'") from error

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {}  # noqa: RUF012 - the package's own way

    for tag, pattern, first in (
        ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
        ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
        ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
        ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
        ("merge", r"<<", ["<"]),
    ):
        Loader.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType]
            f"tag:yaml.org,2002:{tag}", re.compile(rf"^(?:{pattern})$"), first
        )
    # 1e3 and 0o17 are numbers in 1.2; the package's constructors for its own notations do not read them.
    Loader.add_constructor("tag:yaml.org,2002:float", lambda _loader, node: float(node.value))
    Loader.add_constructor("tag:yaml.org,2002:int", lambda _loader, node: _integer(node.value))
    return Loader


def _integer(text: str) -> int:
    return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


def _documents(text: str, file: Path) -> Iterator[tuple[Any, yaml.Node]]:
    loader_type = _loader()
    import yaml

    loader = loader_type(text)
    try:
        while loader.check_node():
            node = cast("yaml.Node", loader.get_node())
            _refuse_repeated_keys(node, file)
            document = cast("Any", loader.construct_document(node))  # pyright: ignore[reportUnknownMemberType]
            if document is not None:
                yield document, node
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise SceneError(file, [f"{file}:{line}: is not YAML: {error.problem}"]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SceneError(file, [f"{file}: is not YAML: {error}"]) from error
    finally:
        loader.dispose()  # pyright: ignore[reportUnknownMemberType]


def _refuse_repeated_keys(node: yaml.Node, file: Path) -> None:
    """The second of two equal keys would silently win."""
    waiting, seen = [node], {id(node)}
    while waiting:
        current = waiting.pop()
        keys: set[str] = set()
        for key, inner in _items(current):
            if isinstance(key, str) and key != "<<":
                if key in keys:
                    raise SceneError(file, [f"{file}:{_line(inner)}: {key}: is given twice"])
                keys.add(key)
            if id(inner) not in seen:
                seen.add(id(inner))
                waiting.append(inner)


def _items(node: yaml.Node) -> Iterator[tuple[str | int, yaml.Node]]:
    import yaml

    if isinstance(node, yaml.MappingNode):
        for key, value in cast("list[tuple[Any, yaml.Node]]", node.value):
            yield str(key.value), value
    elif isinstance(node, yaml.SequenceNode):
        yield from enumerate(cast("list[yaml.Node]", node.value))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _scenes(document: Any, root: yaml.Node, file: Path) -> Iterator[tuple[Any, tuple[yaml.Node, ...]]]:
    """Each scene of a document as it is to be understood, and the nodes that it was written in: its own comes first."""
    if not isinstance(document, Mapping):
        raise SceneError(file, [f"{file}:{_line(root)}: should be an object"])
    raw = cast("Mapping[str, Any]", document)
    if "scenes" not in raw:
        yield raw, (root,)
        return
    common = {key: value for key, value in raw.items() if key != "scenes"}
    try:
        listed = SceneFile.model_validate({"scenes": raw["scenes"]}).scenes
    except ValidationError as error:
        raise SceneError(file, list(_complaints(error, raw, (root,), file))) from error
    nodes = dict(_items(dict(_items(root))["scenes"]))
    for index, scene in enumerate(listed):
        yield {**common, **scene}, (nodes[index], root)


def _lines(nodes: Sequence[yaml.Node]) -> dict[str, int]:
    lines: dict[str, int] = {}
    for root in reversed(nodes):  # the scene's own comes last: it wins
        for block, node in _items(root):
            if block in ("caller", "expect", "tools"):
                lines[block] = _line(node)
                lines |= {f"{block}.{key}": _line(inner) for key, inner in _items(node)}
    return lines


# ----------------------------------------------------------------------------------------------------- complaints


def _complaints(error: ValidationError, raw: Any, nodes: Sequence[yaml.Node], file: Path) -> Iterator[str]:
    """A line for every place in which something is wrong."""
    found: dict[tuple[int, str], list[str]] = {}
    for each in error.errors(include_url=False, include_context=False):
        path, node = _place(each["loc"], raw, nodes)
        found.setdefault((_line(node), path), []).append(_complaint(each["type"], each["msg"], each["input"]))
    for (line, path), complaints in sorted(found.items()):
        yield f"{file}:{line}: {path}: {' or '.join(dict.fromkeys(complaints))}".replace(": : ", ": ")


def _place(location: Sequence[int | str], raw: Any, nodes: Sequence[yaml.Node]) -> tuple[str, yaml.Node]:
    """Pydantic's path without the names of its types, and the nearest node that was written."""
    value = raw
    node: yaml.Node = nodes[0]
    path: list[str] = []
    for index, step in enumerate(location):
        if isinstance(step, str) and step.startswith("<"):
            continue  # the tag of a union
        last = index == len(location) - 1
        known = (isinstance(value, Mapping) and step in value) or (
            isinstance(value, list) and isinstance(step, int) and step < len(cast("list[Any]", value))
        )
        if known:
            value = cast("Any", value)[step]
            inner = next((n for root in ([node] if path else nodes) for key, n in _items(root) if key == step), None)
            node = inner if inner is not None else node
            path.append(str(step))
        elif last and isinstance(value, Mapping) and isinstance(step, str) and re.fullmatch(r"\w+", step):
            path.append(step)  # what is missing
    return ".".join(path), node


def _complaint(kind: str, message: str, given: Any) -> str:
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is no key that is known here"
    words = {
        "list_type": "should be a list",
        "dict_type": "should be an object",
        "model_type": "should be an object",
        "model_attributes_type": "should be an object",
    }
    complaint = words.get(kind, message.removeprefix("Input ").removeprefix("String "))
    return f"{complaint}, not {given!r:.60}" if isinstance(given, bool | int | float | str) else complaint
