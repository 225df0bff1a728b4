"""`python -m tests.outside.inspector`: the MCP inspector against `serve stdio` and `serve http`, in both eras.

Each combination lists the tools with `--strict` (every schema is one that all clients understand), reads, writes, makes a
mistake and names a tool that is not there. Then it reads what has an address and gets a prompt.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rekomi_mcp.demo.stage import Stage
from rekomi_mcp.tools import CATALOGUE
from rekomi_mcp.tools.prompts import GIVE_AFFILIATE_A_CODE, PROMPTS
from rekomi_mcp.tools.resources import RESOURCES
from tests.outside.node import INSPECTOR, command

ERAS = ("legacy", "modern")
TOOL_ERROR = 5
"""The inspector's exit code for an answer with isError, and for a tool it does not know."""
RESOURCE_ERROR = 1
"""Its exit code for an error of the protocol."""
STEP_SECONDS = 60
AT_ONCE = 2
JsonObject = dict[str, Any]


class Surprise(Exception):
    """The inspector saw something else than it should have."""


@dataclass(frozen=True, slots=True)
class Door:
    """One way in: a transport and a protocol era."""

    transport: str
    era: str
    target: tuple[str, ...]
    home: Path
    """Where the inspector keeps what it keeps; nobody's own."""

    def inspect(self, *arguments: str, exits: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the inspector once: the answer is on its stdout, and what it has to say about it on its stderr.

        Raises:
            Surprise: it ended otherwise than with `exits`.
        """
        line = [*self.target, "--protocol-era", self.era, "--format", "json", "--quiet", *arguments]
        done = subprocess.run(
            command(INSPECTOR, "--cli", *line),
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )
        if done.returncode != exits:
            raise Surprise(f"{' '.join(arguments)} exits {done.returncode}, not {exits}:\n{done.stdout}{done.stderr}")
        return done

    def ask(self, *arguments: str) -> JsonObject:
        """The result of a message that is no call."""
        return json.loads(self.inspect("--method", *arguments).stdout)["result"]

    def call(self, tool: str, arguments: JsonObject) -> JsonObject:
        """A call's result."""
        return json.loads(self.inspect(*_calling(tool, arguments)).stdout)["result"]

    def call_in_vain(self, tool: str, arguments: JsonObject) -> str:
        """What is said of a call that is refused."""
        done = self.inspect(*_calling(tool, arguments), exits=TOOL_ERROR)
        return done.stdout + done.stderr


def _calling(tool: str, arguments: JsonObject) -> list[str]:
    return ["--method", "tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments)]


def expect(holds: bool, what: str, seen: object) -> None:
    if not holds:
        raise Surprise(f"{what}; the inspector saw: {str(seen)[:500]}")


def lists_every_tool_in_schemas_that_every_client_understands(door: Door) -> None:
    done = door.inspect("--method", "tools/list", "--strict")
    # The exit code tells of errors only; a warning is on stderr.
    expect(not done.stderr.strip(), "no schema is doubtful", done.stderr)
    listed = {tool["name"] for tool in json.loads(done.stdout)["result"]["tools"]}
    expect(listed == {operation.name for operation in CATALOGUE.listed()}, "every tool is listed", listed)


def reads(door: Door) -> None:
    me = door.call("whoami", {})
    expect(me["structuredContent"]["organizationName"] == "Acme", "whoami names the organization", me)
    expect(json.loads(me["content"][0]["text"]) == me["structuredContent"], "text and structure agree", me)


def writes(door: Door) -> None:
    name = f"{door.transport} {door.era}"
    terms = {"name": name, "defaultCommissionType": "Percentage", "defaultCommissionValue": 20}
    made = door.call("create_program", terms)["structuredContent"]
    found = door.call("get_program", {"programId": made["id"]})["structuredContent"]
    expect((found["name"], found["commission"]) == (name, made["commission"]), "what was written is found", found)


def is_told_its_mistake(door: Door) -> None:
    seen = door.call_in_vain("get_affiliate", {"afiliateId": "x"})
    expect("validation_failed" in seen and "afiliateId" in seen, "a wrong argument is named", seen)


def is_told_that_there_is_no_such_tool(door: Door) -> None:
    seen = door.call_in_vain("pay_everybody", {})
    expect("pay_everybody" in seen, "the unknown tool is named", seen)


def lists_every_resource_and_template(door: Door) -> None:
    static = {resource["uri"] for resource in door.ask("resources/list")["resources"]}
    templates = {t["uriTemplate"] for t in door.ask("resources/templates/list")["resourceTemplates"]}
    expect(
        static | templates == {resource.uri for resource in RESOURCES}, "every resource is listed", (static, templates)
    )


def reads_a_resource(door: Door) -> None:
    [guide] = door.ask("resources/read", "--uri", "rekomi://guide")["contents"]
    expect(guide["mimeType"] == "text/markdown" and "# How" in guide["text"], "the guide is a text", guide)
    [profile] = door.ask("resources/read", "--uri", "rekomi://organization")["contents"]
    expect(json.loads(profile["text"])["name"] == "Acme", "the organization is its own", profile)


def reads_a_resource_of_a_template(door: Door) -> None:
    listed = door.call("list_programs", {"take": 1})["structuredContent"]["items"]
    [program] = door.ask("resources/read", "--uri", f"rekomi://programs/{listed[0]['id']}")["contents"]
    expect(json.loads(program["text"]) == listed[0], "a template's resource is what the tool lists", program)


def is_told_that_there_is_no_such_resource(door: Door) -> None:
    done = door.inspect("--method", "resources/read", "--uri", "rekomi://programs/nobody", exits=RESOURCE_ERROR)
    seen = done.stdout + done.stderr
    expect("Find it with list_programs" in seen, "the message says what to do", seen)


def gets_a_prompt(door: Door) -> None:
    listed = {prompt["name"] for prompt in door.ask("prompts/list")["prompts"]}
    expect(listed == {prompt.name for prompt in PROMPTS}, "every prompt is listed", listed)
    wanted = ["--prompt-name", GIVE_AFFILIATE_A_CODE.name, "--prompt-args", "affiliate=Sarah Lee", "discount=20 %"]
    [message] = door.ask("prompts/get", *wanted)["messages"]
    expect(message["role"] == "user" and "Sarah Lee" in message["content"]["text"], "it is written out", message)


STEPS: tuple[Callable[[Door], None], ...] = (
    lists_every_tool_in_schemas_that_every_client_understands,
    reads,
    writes,
    is_told_its_mistake,
    is_told_that_there_is_no_such_tool,
    lists_every_resource_and_template,
    reads_a_resource,
    reads_a_resource_of_a_template,
    is_told_that_there_is_no_such_resource,
    gets_a_prompt,
)


def doors(stage: Stage, token: str) -> list[Door]:
    here = [sys.executable, "-m", "rekomi_mcp", "serve", "stdio", "-e", f"REKOMI_DATA_DIR={stage.folder}"]
    there = [f"{stage.url}/mcp", "--transport", "http", "--header", f"Authorization: Bearer {token}"]
    return [
        Door(transport, era, tuple(target), stage.folder)
        for transport, target in (("stdio", here), ("http", there))
        for era in ERAS
    ]


def walk(door: Door) -> list[str]:
    """Every step through one door; answers what went wrong."""
    wrong: list[str] = []
    for step in STEPS:
        try:
            step(door)
        except (Surprise, KeyError, ValueError, subprocess.TimeoutExpired) as error:
            wrong.append(f"{step.__name__.replace('_', ' ')}: {error!r}")
    mark = "FAIL" if wrong else "ok  "
    print(f"{mark} {door.transport:5} {door.era:6}: {len(STEPS) - len(wrong)} of {len(STEPS)} steps", flush=True)
    return wrong


def main() -> int:
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rekomi-inspector-") as folder:
        stage = Stage(Path(folder))
        stage.command("init", "--name", "Acme")
        token = stage.command("token", "create", "mcp", "--name", "inspector").split()
        with stage.http_server(), ThreadPoolExecutor(AT_ONCE) as workers:
            [secret] = [word for word in token if word.startswith("rk_mcp_")]
            wrong = [line for lines in workers.map(walk, doors(stage, secret)) for line in lines]
    for line in wrong:
        print(line)
    print(f"inspector: {'FAILED' if wrong else 'passed'} in {time.monotonic() - start:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
