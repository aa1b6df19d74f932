"""What can be done next about a finding, and nothing that the scenario does not allow.

No other module advises to ask again, to export, or to mark events.
"""

from __future__ import annotations

from dataclasses import dataclass

from loadcheck.scenario.model import Verify

_AGAIN = "loadcheck reconcile"
_EXPLAIN = "loadcheck explain"


def lasts(target_kind: str) -> bool:
    """Return whether a service can be asked once the run is over: an embedded emulator cannot."""
    return target_kind != "emulator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What a scenario allows.

    Attributes:
        lasting: Whether the service can be asked once the run is over.
        exports: Whether the profile says where events are exported.
        splits: Whether the profile says how events are marked with buckets and counted by them.
        localizes: Whether they were in this run.
        approximate: Whether counts are estimates.
    """

    lasting: bool = True
    exports: bool = True
    splits: bool = True
    localizes: bool = True
    approximate: bool = False

    @classmethod
    def of(cls, verify: Verify, *, lasting: bool) -> Advice:
        """Return what a scenario allows.

        Args:
            verify: How the service is asked.
            lasting: Whether it can be asked once the run is over.
        """
        return cls(
            lasting=lasting,
            exports=verify.export is not None,
            splits=verify.split is not None,
            localizes=verify.localizes,
            approximate=verify.approximate is not None,
        )

    def later(self) -> str:
        """Say how time can tell."""
        if self.lasting:
            return f"Run {_AGAIN} later."
        return (
            "Raise verify.deadline: the embedded emulator ended with the run and cannot be asked "
            "later."
        )

    def longer(self) -> str:
        """Say how to wait longer."""
        rest = f", or run {_AGAIN} later" if self.lasting else ""
        return f"Raise verify.deadline{rest}."

    def delayed(self) -> str:
        """Say how to tell the missing from the late; "" if there is no way."""
        return (
            f"Run {_AGAIN} later: users counted by then were merely delayed."
            if self.lasting
            else ""
        )

    def list_events(self) -> str:
        """Say how single events can be seen; "" if there is no way."""
        if not self.lasting:
            return ""
        if self.exports:
            return f"{_AGAIN} --export lists them."
        return (
            "They cannot be listed: the scenario does not say where events are exported "
            f"({_EXPLAIN} verify.export)."
        )

    def name_users(self) -> str:
        """Say what is missing from the scenario, or in the way, where users have no names."""
        if self.approximate:
            return "Estimates cannot be compared by bucket, so nobody is named."
        if not self.splits:
            return (
                "Nobody can be named: the scenario does not say how events are marked with buckets "
                f"and counted by them ({_EXPLAIN} verify.split)."
            )
        return "" if self.localizes else "Set verify.localize = true to name them."

    def tell_apart(self, trouble: str | None) -> str:
        """Say how it becomes known which users a total has.

        Args:
            trouble: Why the counts by bucket do not tell, "" if that is not known; None if there
                are none.
        """
        ways, why = [], ""
        if trouble is not None:
            why = trouble or "counts by bucket are inconclusive"
        elif self.approximate:
            why = "estimates cannot be split by bucket"
        elif self.splits and self.localizes:
            why = "there are no counts by bucket"
        elif self.splits:
            ways.append("set verify.localize = true")
        else:
            ways.append(f"describe counts by bucket in [verify.split] ({_EXPLAIN} verify.split)")
        if self.lasting and self.exports:
            ways.append(f"run {_AGAIN} --export")
        elif why and self.lasting:
            ways.append(
                f"say in [verify.export] where events are exported ({_EXPLAIN} verify.export)"
            )
        text = ": ".join(part for part in (why, ", or ".join(ways)) if part)
        return f"{text[0].upper()}{text[1:]}."


def sentences(*parts: str) -> str:
    """Join sentences of which some may be empty."""
    return " ".join(part for part in parts if part)
