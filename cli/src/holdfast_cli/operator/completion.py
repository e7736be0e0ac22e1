"""`holdfast completion bash|zsh|fish`: a script made of the parser itself, so that it knows every verb and option."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True, slots=True)
class Place:
    """What may follow after `holdfast <path>`."""

    path: str
    words: tuple[tuple[str, str], ...]
    """Verbs and options, with their help."""
    choices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By option; "" for what stands without one."""
    files: tuple[str, ...] = ()
    """Options that take a file or folder; "" for what stands without one."""
    values: tuple[str, ...] = ()
    """Options that take something nobody can guess."""


def add_verb(subparsers: Any, parser: argparse.ArgumentParser) -> None:
    it = subparsers.add_parser(
        "completion",
        help="a script that completes verbs and options in your shell",
        description="Prints a completion script, made of the command itself.",
        epilog="examples:\n"
        "  bash  source <(holdfast completion bash)      (in ~/.bashrc)\n"
        "  zsh   source <(holdfast completion zsh)       (in ~/.zshrc, after compinit)\n"
        "  fish  holdfast completion fish | source       (in ~/.config/fish/config.fish)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    it.add_argument("shell", choices=SHELLS)

    async def run(arguments: argparse.Namespace) -> int:
        print(script(arguments.shell, parser), end="")
        return 0

    it.set_defaults(run=run)


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    places = tuple(_places(parser, ""))
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](places)


def _places(parser: argparse.ArgumentParser, path: str) -> Iterator[Place]:
    words: list[tuple[str, str]] = []
    choices: dict[str, tuple[str, ...]] = {}
    files: list[str] = []
    values: list[str] = []
    inner: list[tuple[str, argparse.ArgumentParser]] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {one.dest: one.help or "" for one in action._choices_actions}
            words += [(name, helps.get(name, "")) for name in action.choices]
            inner += list(action.choices.items())
            continue
        names = tuple(action.option_strings) or ("",)
        words += [(name, action.help or "") for name in action.option_strings]
        if action.nargs == 0:
            continue
        for name in names:
            if action.choices:
                choices[name] = tuple(str(choice) for choice in action.choices)
            elif action.type is Path:
                files.append(name)
            elif name:
                values.append(name)
    yield Place(path, tuple(words), choices, tuple(files), tuple(values))
    for name, below in inner:
        yield from _places(below, f"{path}/{name}")


def _walk(places: tuple[Place, ...]) -> str:
    """A pattern of every path that is a verb's."""
    return "|".join(place.path for place in places if place.path)


def _cases(
    places: tuple[Place, ...], files: str, words: Callable[[Sequence[str]], str]
) -> list[str]:
    """What follows an option, then what stands by itself."""
    lines = ['  case "$place:$before" in']
    for place in places:
        for name, choices in place.choices.items():
            if name:
                lines.append(f'    "{place.path}:{name}") {words(choices)}; return ;;')
        lines += [f'    "{place.path}:{name}") {files}; return ;;' for name in place.files if name]
        lines += [f'    "{place.path}:{name}") return ;;' for name in place.values]
    lines += ["  esac", '  case "$place" in']
    for place in places:
        also = f"; {files}" if "" in place.files else ""
        stand = [*(name for name, _ in place.words), *place.choices.get("", ())]
        lines.append(f'    "{place.path}") {words(stand)}{also} ;;')
    return [*lines, "  esac"]


def _bash(places: tuple[Place, ...]) -> str:
    lines = [
        "# holdfast completion for bash: source <(holdfast completion bash)",
        "_holdfast() {",
        "  local now=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} place= word i",
        "  for ((i = 1; i < COMP_CWORD; i++)); do",
        "    word=${COMP_WORDS[i]}",
        f'    case "$place/$word" in {_walk(places)}) place=$place/$word ;; esac',
        "  done",
        "  COMPREPLY=()",
        *_cases(
            places,
            'COMPREPLY+=($(compgen -f -- "$now")); compopt -o filenames 2>/dev/null',
            lambda words: f'COMPREPLY+=($(compgen -W {shlex.quote(" ".join(words))} -- "$now"))',
        ),
        "}",
        "complete -F _holdfast holdfast",
    ]
    return "\n".join(lines) + "\n"


def _zsh(places: tuple[Place, ...]) -> str:
    lines = [
        "#compdef holdfast",
        "# holdfast completion for zsh: source <(holdfast completion zsh), after compinit",
        "_holdfast() {",
        "  local before=${words[CURRENT-1]} place= word",
        "  for word in ${words[2,CURRENT-1]}; do",
        f'    case "$place/$word" in {_walk(places)}) place=$place/$word ;; esac',
        "  done",
        *_cases(places, "_files", lambda words: f"compadd -- {shlex.join(words)}"),
        "}",
        "compdef _holdfast holdfast",
    ]
    return "\n".join(lines) + "\n"


def _fish(places: tuple[Place, ...]) -> str:
    lines = [
        "# holdfast completion for fish: holdfast completion fish | source",
        "function __holdfast_at",
        "  set -l path ''",
        "  for word in (commandline -opc)[2..-1]",
        "    switch $path/$word",
        f"      case {' '.join(place.path for place in places if place.path)}",
        "        set path $path/$word",
        "    end",
        "  end",
        '  test "$path" = "$argv[1]"',
        "end",
        "complete -c holdfast -f",
    ]
    for place in places:
        at = f"complete -c holdfast -n \"__holdfast_at '{place.path}'\""
        for name, help in place.words:
            told = f" -d {_fish_quoted(help.splitlines()[0])}" if help else ""
            if not name.startswith("-"):
                lines.append(f"{at} -a {name}{told}")
                continue
            flag = f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
            takes = ""
            if name in place.choices:
                takes = f" -x -a {_fish_quoted(' '.join(place.choices[name]))}"
            elif name in place.files:
                takes = " -r -F"
            elif name in place.values:
                takes = " -x"
            lines.append(f"{at} {flag}{takes}{told}")
        if "" in place.choices:
            lines.append(f"{at} -a {_fish_quoted(' '.join(place.choices['']))}")
        if "" in place.files:
            lines.append(f"{at} -F")
    return "\n".join(lines) + "\n"


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
