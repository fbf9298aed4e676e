"""The view that one can touch as a widget: in JupyterLab, Colab and VS Code alike (anywidget)."""

import json
from collections.abc import Mapping
from typing import Any

import anywidget
import traitlets

from delrec_kit.interpret.view import SCRIPT, SHEET


class Touch(anywidget.AnyWidget):
    """Draws ``data``, which may change; ``page`` makes the page that its button saves."""

    _esm = SCRIPT.read_text(encoding="utf-8")
    _css = SHEET.read_text(encoding="utf-8")
    data = traitlets.Unicode("{}").tag(sync=True)

    def __init__(self, data: Mapping[str, Any], page: str):
        super().__init__(data=json.dumps(data))
        self.page = page
        self.on_msg(lambda _, told, __: self.send({"page": self.page}) if told == {"want": "page"} else None)
