"""One run of llama.cpp's converter, in the process that is there for it."""

from __future__ import annotations

import json
import logging
import os
import runpy
import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from pyollama.convert import pretokenizers, sandbox
from pyollama.convert.job import Conversion, Outcome

_EXTRA = "install what it needs with: pip install 'pyollama[convert]'"
_OTHERWISE = "make a GGUF file with llama.cpp's own convert_hf_to_gguf.py and PyTorch, and use that"
_MAX_ERROR = 500
_ENCODERS = ("vision_config", "audio_config", "vision_encoder", "audio_encoder", "thinker_config")


def run(job: Conversion) -> Outcome:
    """Write the target; every way to fail is an outcome."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    complaints = _Complaints()
    logging.getLogger().addHandler(complaints)
    try:
        _load_libraries(job)
    except ImportError as error:
        return Outcome(error=f"safetensors files cannot be converted here: {error}", hint=_EXTRA)
    home = str(Path.home())
    readable = [job.folder, job.scripts, *filter(None, [job.base])]
    sandbox.enter(job.max_bytes, readable=readable, writable=[job.target, home])
    try:
        return _convert(job, complaints)
    except BaseException as error:
        traceback.print_exc()
        return Outcome(error=_said(error, job), hint=_OTHERWISE)


def _load_libraries(job: Conversion) -> None:
    """Everything that is imported from outside, before the files are looked at."""
    for module in ("sentencepiece", "tokenizers", "transformers", "yaml"):
        import_module(module)
    transformers = import_module("transformers")
    import_module("transformers.utils").is_torch_available()  # an answer that is kept
    for name in ("AutoConfig", "AutoTokenizer"):
        _trust_no_code(getattr(transformers, name))
    from pyollama.convert import torchlike

    torchlike.install()
    sys.path[:0] = [job.scripts, str(Path(job.scripts) / "gguf-py")]
    import_module("conversion")
    _know_more_tokenizers(import_module("conversion.base").TextModel)
    _replace_loader()


def _trust_no_code(loader: Any) -> None:
    """The converter lets some tokenizers bring their own code; here none does."""
    original = loader.from_pretrained

    def from_pretrained(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **(kwargs | {"trust_remote_code": False, "local_files_only": True}))

    loader.from_pretrained = from_pretrained


def _know_more_tokenizers(model: Any) -> None:
    original = model.get_vocab_base_pre

    def get_vocab_base_pre(self: Any, tokenizer: Any) -> str:
        try:
            name: str = original(self, tokenizer)
        except NotImplementedError:
            path = self.dir_model / "tokenizer.json"
            rule = pretokenizers.known_as(json.loads(path.read_text())) if path.is_file() else None
            if rule is None:
                raise NotImplementedError(
                    "the way its tokenizer splits text (pre_tokenizer) is not known"
                ) from None
            return rule
        return name

    model.get_vocab_base_pre = get_vocab_base_pre


def _replace_loader() -> None:
    """What reads an adapter's weights is a part of safetensors that wants all of PyTorch."""
    torch, utility = import_module("torch"), import_module("gguf.utility")
    dtypes = import_module("conversion.base").LazyTorchTensor._dtype_str_map

    def loaded(item: Any) -> Any:
        flat = torch.from_numpy(item.mmap_bytes()).view(dtypes[item.dtype])
        return flat.reshape(item.shape)

    def load_file(path: str | Path, device: str = "cpu") -> dict[str, Any]:
        with utility.SafetensorsLocal(Path(path)) as tensors:
            return {
                name: torch.from_numpy(item.mmap_bytes())
                .view(dtypes[item.dtype])
                .reshape(item.shape)
                for name, item in tensors.items()
            }

    module = ModuleType("safetensors.torch")
    module.load_file = load_file  # type: ignore[attr-defined]
    sys.modules["safetensors.torch"] = module


class _Complaints(logging.Handler):
    """Keeps the errors that the converter logs before it gives up."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _convert(job: Conversion, complaints: _Complaints) -> Outcome:
    conversion = import_module("conversion")
    config = conversion.ModelBase.load_hparams(Path(job.base or job.folder), False)
    architecture = conversion.get_model_architecture(config, conversion.ModelType.TEXT)
    if architecture not in conversion.TEXT_MODEL_MAP:
        return Outcome(error=f'unsupported architecture "{architecture}"', hint=_OTHERWISE)
    arguments = ["--outfile", job.target, "--outtype", job.outtype]
    if job.kind == "projector":
        arguments.append("--mmproj")
    if job.base:
        arguments += ["--base", job.base]
    script = "convert_lora_to_gguf.py" if job.kind == "adapter" else "convert_hf_to_gguf.py"
    path = os.path.join(job.scripts, script)  # noqa: PTH118 - runpy takes a text
    sys.argv = [path, *arguments, job.folder]
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as error:
        if error.code:
            raise RuntimeError(". ".join(complaints.texts) or "the converter gave up") from error
    return Outcome(has_projector=job.kind == "model" and _has_projector(conversion, config))


def _has_projector(conversion: ModuleType, config: Mapping[str, Any]) -> bool:
    """Some architectures have the same name with and without eyes and ears."""
    if not any(config.get(key) for key in _ENCODERS):
        return False
    architecture = conversion.get_model_architecture(config, conversion.ModelType.MMPROJ)
    return architecture in conversion.MMPROJ_MODEL_MAP


def _said(error: BaseException, job: Conversion) -> str:
    """The error in one line, with files named as they were given."""
    if isinstance(error, MemoryError):
        return "the model cannot be converted: it needs too much memory for its size"
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split()) or f"{where.name} found it wrong: {where.line}"
    for folder in filter(None, (job.folder, job.base)):
        text = text.replace(f"{folder}/", "")
    return f"the model cannot be converted: {text[:_MAX_ERROR]}"
