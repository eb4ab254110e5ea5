"""Everything that can go wrong, as one tree.

Each class carries a stable ``code`` that programs may test, a message for people and, where there
is something to do about it, a ``hint``. HTTP numbers live in ``server/`` only.

    PyollamaError
    ├── ConfigError                 a setting that cannot be used
    ├── RequestError                the caller's request cannot be served as it stands
    │   ├── InvalidRequest          a field is missing, malformed or out of range
    │   │   └── InvalidOption       an option or format that cannot be used to run the model
    │   ├── InvalidName             a model name that does not parse
    │   ├── InvalidGrammar          a grammar or JSON schema that cannot be enforced
    │   ├── TemplateError           a chat template that cannot be parsed or executed
    │   ├── UnsupportedCapability   the model cannot do what was asked
    │   │   └── EmbeddingsUnsupported  embeddings of a model that has none
    │   └── ContextLengthExceeded   the prompt does not fit
    ├── NotFound
    │   ├── ModelNotFound           no such model in the store
    │   └── BlobNotFound            no such blob in the store
    ├── StoreError                  the store on disk is damaged, full or read-only
    │   ├── DigestMismatch          content does not hash to the name it was given
    │   ├── InvalidManifest         a manifest that is not one
    │   ├── InvalidGGUF             a file that is not a sound GGUF
    │   └── InvalidBundle           a file that is not a sound bundle of models
    ├── RegistryError               a registry could not or would not do what was asked
    │   ├── RegistryUnreachable     no answer came, or it broke off
    │   └── AccessDenied            the registry does not let this user in
    ├── EngineError                 a loaded model failed
    │   ├── NativeError             llama.cpp or the binding reported a failure
    │   │   └── OutOfCells          no room in the KV cache for a batch; nothing was changed
    │   ├── ModelLoadError          the model could not be loaded
    │   ├── OutOfMemory             no memory for weights, context or batch
    │   ├── WorkerDied              the worker process ended while it was in use
    │   └── EngineClosed            the engine was closed before the request could end
    ├── ClientError                 a call to a server failed
    │   ├── ServerUnreachable       nothing answers at the address
    │   └── ApiError                the server answered with an error
    ├── Busy                        the queue is full; try again later
    ├── CloudDisabled               a model or service of ollama.com, which is switched off
    ├── NotSupported                something this version cannot do
    └── Aborted                     the caller gave the request up
"""

from __future__ import annotations

from typing import ClassVar

import msgspec


class ErrorInfo(msgspec.Struct, frozen=True):
    """An error as it crosses the boundary between two processes."""

    code: str
    message: str
    hint: str = ""
    details: dict[str, int | str] = msgspec.field(default_factory=dict)


class PyollamaError(Exception):
    """Base of every error this package raises on purpose."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, hint: str = "", **details: int | str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def info(self) -> ErrorInfo:
        """This error in the form that is sent between processes."""
        return ErrorInfo(self.code, self.message, self.hint, self.details)


class ConfigError(PyollamaError):
    code = "invalid_config"


class RequestError(PyollamaError):
    code = "bad_request"


class InvalidRequest(RequestError):
    """``details["field"]`` names the field."""

    code = "invalid_request"


class InvalidOption(InvalidRequest):
    code = "invalid_option"


class InvalidName(RequestError):
    code = "invalid_name"


class InvalidGrammar(RequestError):
    code = "invalid_grammar"


class TemplateError(RequestError):
    code = "template_error"


class UnsupportedCapability(RequestError):
    code = "unsupported_capability"


class EmbeddingsUnsupported(UnsupportedCapability):
    code = "embeddings_unsupported"


class ContextLengthExceeded(RequestError):
    """``details`` holds ``prompt_tokens`` and ``context_length``."""

    code = "context_length_exceeded"


class NotFound(PyollamaError):
    code = "not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"


class BlobNotFound(NotFound):
    code = "blob_not_found"


class StoreError(PyollamaError):
    code = "store_error"


class DigestMismatch(StoreError):
    code = "digest_mismatch"


class InvalidManifest(StoreError):
    code = "invalid_manifest"


class InvalidGGUF(StoreError):
    code = "invalid_gguf"


class RegistryError(PyollamaError):
    """``details["status"]`` is the HTTP status, absent when there was no answer to speak of."""

    code = "registry_error"


class RegistryUnreachable(RegistryError):
    code = "registry_unreachable"


class AccessDenied(RegistryError):
    code = "access_denied"


class InvalidBundle(StoreError):
    code = "invalid_bundle"


class EngineError(PyollamaError):
    code = "engine_error"


class NativeError(EngineError):
    code = "native_error"


class OutOfCells(NativeError):
    code = "out_of_cells"


class ModelLoadError(EngineError):
    code = "model_load_failed"


class OutOfMemory(EngineError):
    code = "out_of_memory"


class WorkerDied(EngineError):
    code = "worker_died"


class EngineClosed(EngineError):
    code = "engine_closed"


class ClientError(PyollamaError):
    code = "client_error"


class ServerUnreachable(ClientError):
    code = "server_unreachable"


class ApiError(ClientError):
    """``details["status"]`` is the HTTP status, absent when the error came within a stream."""

    code = "api_error"


class Busy(PyollamaError):
    code = "busy"


class CloudDisabled(PyollamaError):
    code = "cloud_disabled"


class NotSupported(PyollamaError):
    code = "not_supported"


class Aborted(PyollamaError):
    code = "aborted"


def _tree(cls: type[PyollamaError]) -> dict[str, type[PyollamaError]]:
    found = {cls.code: cls}
    for child in cls.__subclasses__():
        found |= _tree(child)
    return found


_BY_CODE = _tree(PyollamaError)


def from_info(info: ErrorInfo) -> PyollamaError:
    """The exception that ``info`` describes; an unknown code becomes the base class."""
    cls = _BY_CODE.get(info.code, PyollamaError)
    return cls(info.message, hint=info.hint, **info.details)
