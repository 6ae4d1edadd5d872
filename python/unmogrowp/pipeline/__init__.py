"""From the spool to the warehouse, and from there to credit: `ship_once`, `attribute_once`.

Each step is small, restartable and idempotent: killed anywhere, the next start finishes it to the
same bytes.
"""

from unmogrowp.pipeline.attribute import rules_of
from unmogrowp.pipeline.pipeline import Pipeline

__all__ = ["Pipeline", "rules_of"]
