"""Tell the story on the terminal, and keep count of the figures that are not what they should be."""

from __future__ import annotations

import textwrap

WIDTH = 100


class Report:
    """Prints scenes, lines and checked figures."""

    def __init__(self) -> None:
        self.checked = 0
        self.wrong: list[str] = []
        self._scenes = 0

    def scene(self, title: str) -> None:
        self._scenes += 1
        print(f"\n{self._scenes}. {title}")

    def say(self, text: str) -> None:
        """What the server answered, or what happened in the world."""
        print(textwrap.fill(text, WIDTH, initial_indent="   ", subsequent_indent="   "))

    def asked(self, tool: str, words: str) -> None:
        """What the owner asked for, and the tool that the assistant called."""
        print(f"   > {words}  [{tool}]")

    def check(self, what: str, found: object, expected: object) -> None:
        """A figure of the story, with what it must be."""
        self.checked += 1
        if found == expected:
            print(f"     ok  {what}: {found}")
            return
        self.wrong.append(what)
        print(f"  WRONG  {what}: {found}, and it should be {expected}")

    def broke_off(self, errors: ExceptionGroup[Exception]) -> None:
        """The story could not go on."""
        reason: BaseException = errors
        while isinstance(reason, BaseExceptionGroup):
            reason = reason.exceptions[0]
        print(f"\nThe story broke off: {reason}")
        self.wrong.append("the rest of the story")

    def finish(self, seconds: float) -> int:
        """The verdict; answers the exit status."""
        if self.wrong:
            print(f"\n{len(self.wrong)} of {self.checked} figures are WRONG: {', '.join(self.wrong)}.")
            return 1
        print(
            f"\nAll {self.checked} figures are right. The story took {seconds:.1f} seconds. No real money was involved."
        )
        return 0
