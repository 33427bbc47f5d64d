"""What `torch.save` wrote, read within bounds and without running anything it says.

A pickle is a program. Torch's restricted loader runs no code of it, but a few bytes can still have
it ask for any memory (`bytearray(10**11)`, a place in the memo far behind the last, a storage
deflated to nothing) or time (a tuple of itself twice, forty times over, as a key). Here the program
is read before it is run: only names that weights need, a graph as large as its file, once each.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ufc_base.checkpoint import CheckpointError
from ufc_base.formats.archives import UNREADABLE, stored_only

MOST_OPCODES = 1_000_000  # of one program; a checkpoint of 300 weights has 100,000
MOST_REPEATED = 100_000  # values beyond those of the program, once shared ones are counted apart
NAMES = frozenset(
    (
        "collections OrderedDict", "torch Size", "torch device", "torch.serialization _get_layout",
        "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter",
    )
)  # fmt: skip


class Node:
    """A value of the program, and the values in it."""

    def __init__(self, parts: list[Node]) -> None:
        self.parts = parts


def check_program(program: bytes, only: frozenset[str] | None = NAMES) -> None:
    """Raise `ValueError` for a pickle that would take more than its size, or needs other names.

    With `only` None any names may stand in it: whoever runs it must not look them up.
    """
    mark, stack, memo = Node([]), list[Node](), dict[int, Node]()
    nodes: list[Node] = []
    argument: Any
    for count, (opcode, argument, _) in enumerate(pickletools.genops(program), 1):
        if count > MOST_OPCODES:
            raise ValueError(f"its pickle has more than {MOST_OPCODES:,} steps")
        name = opcode.name
        if name in ("GLOBAL", "INST") and only is not None and not is_known(argument, only):
            raise ValueError(f"it holds more than weights: {argument!r:.100}")
        if name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4") and only is not None:
            raise ValueError(f"it is not in the format of torch.save ({name})")
        if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            place = len(memo) if argument is None else argument
            if not 0 <= place <= count:
                raise ValueError(f"its pickle names the place {place} of {count}")
            memo[place] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "MARK":
            stack.append(mark)
        else:
            step(opcode, stack, mark, nodes)
    if expanded(nodes) > len(nodes) + MOST_REPEATED:
        raise ValueError("its values contain one another again and again")


def is_known(name: str, only: frozenset[str]) -> bool:
    module, _, last = name.partition(" ")
    if module in ("torch", "torch.storage") and last.endswith("Storage"):
        return True
    return name in only or (module == "torch" and isinstance(getattr(torch, last, 0), torch.dtype))


def step(opcode: Any, stack: list[Node], mark: Node, nodes: list[Node]) -> None:
    """What an opcode takes from the stack and leaves there."""
    before, taken = opcode.stack_before, list[Node]()
    if pickletools.markobject in before:
        while (one := stack.pop()) is not mark:
            taken.append(one)
        before = before[: before.index(pickletools.markobject)]
    for _ in before:
        taken.append(stack.pop())
    fills = opcode.name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")
    if fills:
        holder = taken.pop()  # what was on the stack before all others
        holder.parts += taken
        stack.append(holder)
        return
    for _ in opcode.stack_after:
        node = Node(taken)
        nodes.append(node)
        stack.append(node)


def expanded(nodes: list[Node]) -> int:
    """How many values there are where each is counted as often as it is held.

    Raises:
        ValueError: a value holds itself.
    """
    sizes: dict[int, int] = {}
    under_way: set[int] = set()
    largest = 0
    for start in nodes:
        todo = [(start, False)]
        while todo:
            node, done = todo.pop()
            key = id(node)
            if done:
                sizes[key] = 1 + sum(sizes[id(part)] for part in node.parts)
                under_way.discard(key)
            elif key not in sizes:
                if key in under_way:
                    raise ValueError("its pickle holds a value that holds itself")
                under_way.add(key)
                todo.append((node, True))
                todo += [(part, False) for part in node.parts if id(part) not in sizes]
        largest = max(largest, sizes[id(start)])
    return largest


def check_torch_file(path: str | PathLike[str], only: frozenset[str] | None = NAMES) -> None:
    """Raise `ValueError` for a file that `torch.save` has not written, or with other than weights.

    `OSError` where it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            stored_only(archive, Path(path).stat().st_size)
            programs = [name for name in archive.namelist() if name.endswith("data.pkl")]
            if len(programs) != 1 or programs[0].count("/") > 1:
                raise ValueError("it is a zip file, but not one that torch.save wrote")
            check_program(archive.read(programs[0]), only)
    except OSError:
        raise
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"it is truncated, or not of torch 1.6 or later, which saves zip files ({error})"
        ) from None
    except UNREADABLE as error:
        raise ValueError(shortly(error)) from None


def load_tensors(path: str | PathLike[str]) -> Any:
    """What `torch.save` wrote: tensors, numbers, texts, lists and dictionaries of them.

    Raises:
        CheckpointError: it is missing, damaged, or holds more than that.
    """
    try:
        check_torch_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's loader raises anything on damaged files
        raise CheckpointError(shortly(error)) from error
    for name, value in tensors_of(state):
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise CheckpointError(
                f"{name or 'a tensor'} says that it is larger than what is stored"
            )
    return state


def tensors_of(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """All tensors of a state with their names, in order, however deep."""
    todo = [(name, state)]
    while todo:
        name, one = todo.pop()
        if isinstance(one, Tensor):
            yield name, one
        elif isinstance(one, Mapping | list | tuple):
            parts = list(one.items() if isinstance(one, Mapping) else enumerate(one))
            todo += [(f"{name[:200]}.{key!s:.200}".strip("."), part) for key, part in parts[::-1]]


def shortly(error: BaseException, most: int = 160) -> str:
    """The beginning of what a library tells in many lines."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else text[: most - 1] + "…"
