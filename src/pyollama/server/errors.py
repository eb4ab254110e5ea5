"""The one table from exceptions to HTTP status numbers."""

from __future__ import annotations

from pyollama import errors

_STATUS: dict[type[errors.PyollamaError], int] = {
    errors.RequestError: 400,
    errors.InvalidOption: 500,
    errors.TemplateError: 500,
    errors.EmbeddingsUnsupported: 501,
    errors.DigestMismatch: 400,
    errors.NotFound: 404,
    errors.CloudDisabled: 403,
    errors.NotSupported: 501,
    errors.Busy: 503,
    errors.Aborted: 499,
    errors.PyollamaError: 500,
}


def status_of(error: errors.PyollamaError) -> int:
    """The status of the nearest class of ``error`` that has one."""
    return next(_STATUS[cls] for cls in type(error).__mro__ if cls in _STATUS)
