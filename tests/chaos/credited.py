"""Print the stored credit of an app: `python -m chaos.credited DSN STORE_DB APP`."""

import json
import sys
from pathlib import Path

from rule_models import MODELS
from unmogrowp.pipeline.state import State
from unmogrowp.warehouse import Warehouse


def main(dsn: str, state_path: str, app: str) -> None:
    """A line for each conversion."""
    state = State(Path(state_path))
    applied = state.applied(app)
    state.close()
    assert applied is not None, f"nothing was credited for {app}"
    names = [model.name for model in MODELS]
    warehouse = Warehouse(dsn)
    rows = warehouse.rows(
        f"SELECT toString(conversion_id) AS id, channel, {', '.join(names)} FROM credits FINAL"
        " WHERE app_id = {app:String} AND rule_version = {rules:Int64}",
        {"app": app, "rules": applied.rule_version},
    )
    for row in rows:
        shares = zip(*(row[name] for name in names), strict=True)
        channels = [name or None for name in row["channel"]]
        touches = list(zip(channels, map(list, shares), strict=True))
        sys.stdout.write(json.dumps({"id": row["id"], "touches": touches}) + "\n")
    warehouse.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
