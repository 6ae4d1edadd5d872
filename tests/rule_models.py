"""Every rule model with its defaults, in the order of the server's columns."""

import unmogrowp as ug

MODELS = [
    ug.FirstTouch(),
    ug.LastTouch(),
    ug.FirstNonDirect(),
    ug.LastNonDirect(),
    ug.Linear(),
    ug.PositionBased(),
    ug.JShape(),
    ug.InverseJ(),
    ug.WShape(),
    ug.TimeDecay(),
]
