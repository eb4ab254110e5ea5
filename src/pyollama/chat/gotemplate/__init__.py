"""An interpreter of Go's ``text/template``, for templates that come from outside.

It follows the Go package in syntax, values, printing and the wording of errors, with the option
``missingkey=zero``. Runs are bounded in steps, output and depth.
"""

from pyollama.chat.gotemplate.evaluate import Limits
from pyollama.chat.gotemplate.functions import Function
from pyollama.chat.gotemplate.template import Template
from pyollama.chat.gotemplate.values import FunctionError, Struct

__all__ = ["Function", "FunctionError", "Limits", "Struct", "Template"]
