"""`python -m chaos`: every fault at full size, and the page that says what came of it."""

import argparse
import sys
import tempfile
from pathlib import Path

from chaos.faults import FAULTS, suffer
from chaos.kills import kills
from chaos.outcome import Outcome, page


def main() -> int:
    """Run everything; 1 where anything was lost, doubled or wrong."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="events sent over all kills")
    parser.add_argument("--kills", type=int, default=24, help="how often the server is killed")
    parser.add_argument("--seed", type=int, default=11, help="events and moments follow from it")
    parser.add_argument("--only", choices=["kills", *FAULTS], help="one fault, and no page")
    parser.add_argument(
        "--page", type=Path, default=Path("docs/durability.md"), help="what to write"
    )
    given = parser.parse_args()
    outcomes = []
    for name in [given.only] if given.only else ["kills", *FAULTS]:
        with tempfile.TemporaryDirectory(prefix="unmogrowp-chaos-") as folder:
            outcome = _run(Path(folder), name, given)
        outcomes.append(outcome)
        sys.stdout.write(f"{outcome.fault}: {outcome.seen}\n  {outcome.verdict}\n")
        sys.stdout.flush()
    if not given.only:
        given.page.write_text(page(outcomes))
    return 0 if all(one.verdict.is_clean for one in outcomes) else 1


def _run(folder: Path, name: str, given: argparse.Namespace) -> Outcome:
    if name == "kills":
        return kills(folder, events=given.events, count=given.kills, seed=given.seed)
    return suffer(folder, name, seconds=FAULTS[name][1], seed=given.seed)


if __name__ == "__main__":
    sys.exit(main())
