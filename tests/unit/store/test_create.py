from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from pyollama.errors import (
    BlobNotFound,
    InvalidGGUF,
    InvalidName,
    InvalidRequest,
    ModelNotFound,
    StoreError,
    TemplateError,
)
from pyollama.store.create import CreateTools, DetectedTemplate
from pyollama.store.gguf import read_gguf
from pyollama.store.modelfile import parse_modelfile
from pyollama.store.show import modelfile_text
from pyollama.store.store import Store
from pyollama.types import CreateRequest, Message, Progress

Make = Callable[..., bytes]
STRING, U16, U32, I32, BOOL = 8, 2, 4, 5, 7
EXISTING, NEW = "using existing layer", "creating new layer"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def steps(store: Store, model: str = "new", **fields: Any) -> list[str]:
    """The status lines, without the digests of layers."""
    statuses = [step.status for step in store.create(CreateRequest(model=model, **fields))]
    return [status.partition(" sha256:")[0] for status in statuses]


def put(store: Store, data: bytes) -> str:
    return store.blobs.put(data)[0]


@pytest.fixture
def gguf(store: Store, model_gguf: Make) -> str:
    return put(store, model_gguf())


@pytest.fixture
def base(store: Store, gguf: str) -> str:
    steps(store, "base", files={"x.gguf": gguf})
    return "base"


@pytest.fixture
def adapter(store: Store, gguf_bytes: Make) -> str:
    metadata = {"general.type": (STRING, "adapter"), "general.architecture": (STRING, "llama")}
    return put(store, gguf_bytes(metadata, [("w.lora_a", (8, 2), 0, bytes(64))]))


def test_from_a_file(store: Store, gguf: str) -> None:
    expected = ["parsing GGUF", "verifying conversion", EXISTING, "writing manifest", "success"]
    assert steps(store, files={"any name": gguf}) == expected
    assert store.resolve("new").details.parent_model == ""


def test_everything_on_top_of_a_model(store: Store, base: str) -> None:
    statuses = steps(
        store,
        base=base,
        template="T",
        system="S",
        licenses=("L1", "L2"),
        parameters={"temperature": 1.0, "stop": ["a"]},
        messages=(Message(role="user", content="q"),),
    )
    assert statuses == [EXISTING, *[NEW] * 6, "writing manifest", "success"]
    again = steps(store, "third", base="NEW", licenses=("L3",))
    assert again == [*[EXISTING] * 6, NEW, EXISTING, "writing manifest", "success"]
    third = store.resolve("third")
    assert third.licenses == ("L1", "L2", "L3")
    assert third.details.parent_model == "new:latest"
    changed = {"template": "T2", "parameters": {"stop": "b", "top_k": 3}}
    steps(store, "third", base="third", **changed)
    third = store.resolve("third")
    assert (third.template, third.system) == ("T2", "S")
    assert third.params == {"temperature": 1, "stop": "b", "top_k": 3}
    assert [message.content for message in third.messages] == ["q"]


def test_another_spelling_is_the_same_model(store: Store, base: str) -> None:
    steps(store, "Name", base=base)
    steps(store, "NAME", base=base, system="b")
    assert [model.name.short for model in store.list()] == ["Name:latest", "base:latest"]


def test_renderer_parser_and_version_are_stored_and_inherited(store: Store, base: str) -> None:
    steps(store, base=base, renderer="r", parser="p", requires="1.2")
    steps(store, "third", base="new", parser="p2")
    config = store.resolve("third").config
    assert (config.renderer, config.parser, config.requires) == ("r", "p2", "1.2")


def test_known_template_is_found(store: Store, model_gguf: Make) -> None:
    def detect(jinja: str) -> DetectedTemplate | None:
        known = DetectedTemplate("chatml", "{{ .Prompt }}!", {"stop": ["<end>"]})
        return known if jinja == "JINJA" else None

    store = Store(store.root, tools=CreateTools(detect_template=detect))
    digest = put(store, model_gguf(tokenizer__chat_template=(STRING, "JINJA")))
    found = "using autodetected template chatml"
    middle = ["parsing GGUF", "verifying conversion", EXISTING]
    end = ["writing manifest", "success"]
    assert steps(store, files={"x": digest}) == [*middle, found, NEW, *end]
    assert store.resolve("new").params == {"stop": ["<end>"]}
    assert steps(store, files={"x": digest}, template="own") == [*middle, NEW, EXISTING, *end]
    model = store.resolve("new")
    assert (model.template, model.chat_template) == ("own", "JINJA")
    assert model.params == {"stop": ["<end>"]}


def test_families_that_need_more_than_a_template(store: Store, model_gguf: Make) -> None:
    digest = put(store, model_gguf("gemma4"))
    steps(store, files={"x.gguf": digest})
    model = store.resolve("new")
    assert (model.config.renderer, model.config.parser) == ("gemma4", "gemma4")
    assert model.params == {"stop": ["<turn|>"]}
    steps(store, files={"x.gguf": digest}, parser="own", parameters={"stop": ["own"]})
    model = store.resolve("new")
    assert (model.config.renderer, model.config.parser) == ("gemma4", "own")
    assert model.params == {"stop": ["own"]}


def test_adapter(store: Store, base: str, adapter: str) -> None:
    statuses = steps(store, base=base, adapters={"a.gguf": adapter})
    assert statuses == ["parsing GGUF", EXISTING, EXISTING, "writing manifest", "success"]
    model = store.resolve("new")
    assert model.adapter_paths == (store.blobs.path(adapter),)
    assert model.details.families == ("llama",)
    assert steps(store, files={"a.gguf": adapter})[1] == EXISTING


def test_projector_beside_the_weights(store: Store, gguf: str, gguf_bytes: Make) -> None:
    projector = put(
        store,
        gguf_bytes(
            {"general.architecture": (STRING, "clip"), "clip.has_vision_encoder": (BOOL, True)},
            [("v.x", (8,), 0, bytes(32))],
        ),
    )
    steps(store, files={"m.gguf": gguf, "p.gguf": projector})
    model = store.resolve("new")
    assert model.projector_paths == (store.blobs.path(projector),)
    assert model.details.families == ("llama", "clip")


def test_draft(store: Store, base: str, model_gguf: Make) -> None:
    draft = put(store, model_gguf("qwen2"))
    steps(store, base=base, draft_files={"d.gguf": draft})
    model = store.resolve("new")
    assert model.draft_path == store.blobs.path(draft)
    assert model.config.draft == {"model_format": "gguf", "architecture": "qwen2"}
    assert model.details.families == ("llama",)


def test_info_replaces_what_the_file_says(store: Store, base: str) -> None:
    info = {
        "capabilities": ["tools"],
        "model_family": "fam",
        "parameter_size": "9B",
        "quantization_level": "Q1",
        "base_name": "bn",
        "context_length": 77,
        "embedding_length": 88.0,
        "unknown": 1,
    }
    steps(store, base=base, info=info)
    model = store.resolve("new")
    details = model.details
    assert (details.family, details.families) == ("fam", ("fam", "llama"))
    assert (details.parameter_size, details.quantization_level) == ("9B", "Q1")
    assert (details.context_length, details.embedding_length) == (77, 88)
    assert (model.config.capabilities, model.config.base_name) == (("tools",), "bn")


def test_stub_of_a_remote_model(store: Store) -> None:
    statuses = steps(store, base="some-model", remote_host="http://127.0.0.1:1")
    assert statuses == ["writing manifest", "success"]
    model = store.resolve("new")
    assert model.is_remote
    assert (model.config.remote_host, model.config.remote_model) == (
        *("http://127.0.0.1:1", "some-model"),
    )
    assert model.model_path is None
    assert model.details.families == ()


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({}, InvalidRequest, "neither 'from' or 'files' was specified"),
    ({"model": ""}, InvalidName, "invalid model name"),
    ({"model": "x//y"}, InvalidName, "invalid model name"),
    ({"base": "//"}, InvalidName, "invalid model name"),
    ({"base": "none"}, ModelNotFound, "model 'none' not found"),
    ({"files": {}}, InvalidRequest, "unknown type"),
    ({"files": {"/x.gguf": "GGUF"}}, InvalidRequest, "file path must be relative"),
    ({"files": {"../x.gguf": "GGUF"}}, InvalidRequest, "file path must be relative"),
    ({"files": {"a/./x.gguf": "GGUF"}}, InvalidRequest, "file path must be relative"),
    ({"base": "base", "adapters": {"../a": "GGUF"}}, InvalidRequest, "file path must be relative"),
    ({"files": {"": "GGUF"}}, InvalidRequest, "file path must be relative"),
    ({"files": {"x.gguf": ""}}, InvalidRequest, "invalid digest format"),
    ({"files": {"x.bin": "OTHER"}}, InvalidRequest, "unknown type"),
    ({"base": "base", "adapters": {}}, InvalidRequest, "unknown type"),
    ({"base": "base", "adapters": {"a": ""}}, InvalidRequest, "invalid digest format"),
    (
        {"base": "base", "adapters": {"a.gguf": "GGUF", "b.gguf": "GGUF"}},
        *(InvalidRequest, "only one adapter is currently supported"),
    ),
    (
        {"base": "base", "draft_quantize": "q8_0"},
        *(InvalidRequest, "--draft-quantize requires a DRAFT model"),
    ),
    (
        {"base": "x", "draft_files": {"d": "GGUF"}, "remote_host": "h"},
        *(InvalidRequest, "DRAFT cannot be used with remote models"),
    ),
    ({"base": "x", "remote_host": "ftp://h"}, InvalidRequest, "bad remote"),
    ({"base": "x", "remote_host": "http://h:99999"}, InvalidRequest, "bad remote"),
    (
        {"base": "base", "info": {"model_family": 5}},
        *(InvalidRequest, 'info field "model_family" must be a string'),
    ),
    (
        {"base": "base", "info": {"context_length": "5"}},
        *(InvalidRequest, 'info field "context_length" must be a number'),
    ),
    (
        {"base": "base", "info": {"context_length": 1.5}},
        *(InvalidRequest, 'info field "context_length" must be a non-negative integer'),
    ),
    ({"base": "base", "template": "{{ bad"}, TemplateError, "template error: it is bad"),
    ({"base": "base", "system": "\ud800"}, InvalidRequest, "system is not valid Unicode text"),
    (
        {"base": "base", "quantize": "q9_z"},
        *(StoreError, "unsupported quantization type Q9_Z - supported types are F32, F16, "),
    ),
]


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(("fields", "error", "message"), BAD)
def test_refused_before_the_first_step(
    store: Store, gguf: str, fields: dict[str, Any], error: type[Exception], message: str
) -> None:
    def check(template: str) -> None:
        if "bad" in template:
            raise TemplateError("it is bad")

    store = Store(store.root, tools=CreateTools(check_template=check))
    digests = {"GGUF": gguf, "OTHER": put(store, b"something else")}
    for key in ("files", "adapters", "draft_files"):
        if key in fields:
            fields = fields | {key: {k: digests.get(v, v) for k, v in fields[key].items()}}
    before = files(store.blobs.folder)
    progress = store.create(CreateRequest(**{"model": "new", **fields}))
    with pytest.raises(error) as caught:
        next(progress)
    assert str(caught.value).startswith(message)
    assert files(store.blobs.folder) == before
    assert [model.name.short for model in store.list()] == ["base:latest"]


@pytest.mark.parametrize(
    ("digest", "error", "message"),
    [
        ("md5:abc", InvalidRequest, "invalid digest format"),
        ("sha256:" + "0" * 64, BlobNotFound, "is not in the store"),
        ("OTHER", InvalidRequest, "supplied file was not in GGUF format"),
        ("CUT", InvalidGGUF, "exceeds file size"),
    ],
)
def test_refused_while_the_file_is_parsed(
    store: Store, model_gguf: Make, digest: str, error: type[Exception], message: str
) -> None:
    digests = {"OTHER": put(store, b"other"), "CUT": put(store, model_gguf()[:-40])}
    progress = store.create(
        CreateRequest(model="new", files={"x.gguf": digests.get(digest, digest)})
    )
    assert next(progress).status == "parsing GGUF"
    with pytest.raises(error, match=message):
        next(progress)


def test_safetensors_need_a_configuration_and_a_converter(store: Store) -> None:
    files = {"model.safetensors": put(store, b"x"), "run.py": put(store, b"program")}
    progress = store.create(CreateRequest(model="new", files=files))
    assert next(progress).status == "converting model"
    with pytest.raises(InvalidRequest, match=r"open config\.json: no such file"):
        next(progress)
    files["config.json"] = put(store, b"{}")
    with pytest.raises(StoreError, match="cannot convert safetensors files"):
        steps(store, files=files)


def test_without_a_folder_for_temporary_files(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = dict.fromkeys(("config.json", "model.safetensors"), put(store, b"{}"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(StoreError, match="no folder for temporary files can be made") as caught:
        steps(store, files=files)
    assert "TMPDIR" in caught.value.hint


def test_only_what_a_converter_reads_is_laid_before_it(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def convert(folder: Path, target: Path, **_: Any) -> Generator[int, None, bool]:
        seen.append(sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()))
        yield 0
        raise StoreError("enough")

    store = Store(tmp_path / "models", tools=CreateTools(convert=convert))
    digest = put(store, b"{}")
    names = ("config.json", "model.safetensors", "own.py", "a/config.json", "weights.bin")
    with pytest.raises(StoreError, match="enough"):
        steps(store, files=dict.fromkeys(names, digest))
    assert seen == [["a/config.json", "config.json", "model.safetensors"]]
    assert files(store.blobs.folder) == [digest.replace(":", "-")]


def part(gguf_bytes: Make, number: int, count: int, *tensors: Any, total: int = 3) -> bytes:
    metadata: dict[str, Any] = {"split.no": (U16, number), "split.count": (U16, count)}
    metadata |= {"split.tensors.count": (I32, total)}
    if number == 0:
        metadata |= {"general.architecture": (STRING, "llama"), "kept": (STRING, "kept")}
    return gguf_bytes(metadata, tensors)


class TestSplit:
    TENSORS = (("a", (8,), 0, b"a" * 32), ("b", (8, 2), 1, b"b" * 32), ("c", (8,), 0, b"c" * 32))

    def test_the_parts_become_one_file(self, store: Store, gguf_bytes: Make) -> None:
        first = put(store, part(gguf_bytes, 0, 2, *self.TENSORS[:2]))
        second = put(store, part(gguf_bytes, 1, 2, *self.TENSORS[2:]))
        statuses = steps(store, files={"2.gguf": second, "1.gguf": first})
        assert list(dict.fromkeys(statuses)) == [
            *("parsing GGUF", "merging split GGUF", "verifying conversion", NEW),
            *("writing manifest", "success"),
        ]
        path = store.resolve("new").model_path
        assert path
        header = read_gguf(path)
        assert header.metadata == {"general.architecture": "llama", "kept": "kept"}
        data = path.read_bytes()
        assert [data[t.offset : t.offset + t.size] for t in header.tensors] == [
            tensor[3] for tensor in self.TENSORS
        ]

    @pytest.mark.parametrize(
        ("numbers", "message"),
        [
            ([(0, 3), (2, 3)], "part 2 of 3 is missing"),
            ([(1, 2)], "part 1 of 2 is missing"),
            ([(0, 2), (0, 2)], r'"1\.gguf": it says it is part 1 of 2, and so does another file'),
            ([(0, 2), (5, 2)], r'"1\.gguf": it says it is part 6 of 2, which cannot be'),
            ([(0, 2), (1, 3)], "parts of different models"),
            ([(0, 65535)], "part 2 of 65535 is missing"),
            ([(0, 2), (1, 2)], "the parts hold 2 tensors of 3"),
        ],
    )
    def test_parts_that_do_not_fit_together(
        self, store: Store, gguf_bytes: Make, numbers: list[tuple[int, int]], message: str
    ) -> None:
        made = {
            f"{place}.gguf": part(gguf_bytes, *number, (f"t{place}", (8,), 0, bytes(32)))
            for place, number in enumerate(numbers)
        }
        with pytest.raises(InvalidRequest, match=message):
            steps(store, files={name: put(store, data) for name, data in made.items()})

    def test_a_tensor_belongs_to_one_part(self, store: Store, gguf_bytes: Make) -> None:
        digests = [
            put(store, part(gguf_bytes, number, 2, self.TENSORS[0], total=2)) for number in (0, 1)
        ]
        with pytest.raises(InvalidRequest, match="two parts hold the same tensor"):
            steps(store, files={"1.gguf": digests[0], "2.gguf": digests[1]})


def test_an_adapter_has_to_be_one(store: Store, base: str, gguf: str) -> None:
    with pytest.raises(InvalidRequest, match="does not hold an adapter"):
        steps(store, base=base, adapters={"a.gguf": gguf})


class TestQuantize:
    @pytest.fixture
    def calls(self) -> list[str]:
        return []

    @pytest.fixture
    def store(self, tmp_path: Path, calls: list[str], model_gguf: Make) -> Store:
        def quantize(source: Path, target: Path, name: str) -> Generator[int, None, None]:
            calls.append(name)
            yield target.write_bytes(model_gguf(general__file_type=(U32, 7)))

        return Store(tmp_path / "models", tools=CreateTools(quantize=quantize))

    def test_from_a_file(self, store: Store, gguf: str, calls: list[str]) -> None:
        request = CreateRequest(model="new", files={"x.gguf": gguf}, quantize="q8_0")
        progress = list(store.create(request))
        assert calls == ["Q8_0"]
        assert progress[1].status == "quantizing F16 model to Q8_0"
        assert progress[1].digest == "0000000000000000000"
        assert progress[1].total == store.blobs.size(gguf)
        statuses = [p.status for p in progress if not p.status.startswith("quantizing")]
        assert statuses[:2] == ["parsing GGUF", "verifying conversion"]
        assert statuses[2].startswith(NEW)
        details = store.resolve("new").details
        assert (details.quantization_level, details.parent_model) == ("Q8_0", "")

    def test_quantised_weights_are_refused(self, store: Store, base: str) -> None:
        steps(store, base=base, quantize="Q8_0")
        with pytest.raises(StoreError, match="only supported for F16, BF16 and F32 models"):
            steps(store, "third", base="new", quantize="q4_k")

    def test_same_type_is_no_work(self, store: Store, base: str, calls: list[str]) -> None:
        statuses = steps(store, base=base, quantize="f16")
        assert statuses == [EXISTING, "writing manifest", "success"]
        assert calls == []

    def test_draft(self, store: Store, base: str, gguf: str, calls: list[str]) -> None:
        steps(store, base=base, draft_files={"d.gguf": gguf}, draft_quantize="q4_0")
        assert calls == ["Q4_0"]
        assert store.resolve("new").draft_path != store.blobs.path(gguf)

    def test_failure_and_cancel_leave_no_trace(self, tmp_path: Path, model_gguf: Make) -> None:
        def fail(source: Path, target: Path, name: str) -> Generator[int, None, None]:
            shutil.copy(source, target)
            yield 1
            raise StoreError("out of luck")

        store = Store(tmp_path / "m", tools=CreateTools(quantize=fail))
        steps(store, "base", files={"x.gguf": put(store, model_gguf())})
        before = files(store.blobs.folder)
        request = CreateRequest(model="new", base="base", quantize="q8_0")
        progress = store.create(request)
        assert next(progress).status.startswith("quantizing")
        progress.close()
        assert files(store.blobs.folder) == before
        with pytest.raises(StoreError, match="out of luck"):
            list(store.create(request))
        assert files(store.blobs.folder) == before


def test_cancel_before_the_manifest_leaves_no_trace(store: Store, base: str) -> None:
    before = files(store.blobs.folder)
    progress = store.create(CreateRequest(model="new", base=base, system="never"))
    for step in progress:
        if step.status == "writing manifest":
            break
    progress.close()
    assert files(store.blobs.folder) == before
    assert len(store.list()) == 1


def test_overwriting_frees_what_only_the_old_one_needed(store: Store, base: str) -> None:
    steps(store, base=base, system="old")
    count = len(files(store.blobs.folder))
    steps(store, base=base, system="new")
    assert len(files(store.blobs.folder)) == count


def test_a_missing_base_is_pulled(store: Store, model_gguf: Make) -> None:
    pulled: list[str] = []

    def pull(name: str) -> Any:
        yield Progress("pulling manifest")
        pulled.append(name)
        steps(other, name, files={"x.gguf": put(other, model_gguf())})

    other = store
    store = Store(store.root, tools=CreateTools(pull=pull))
    assert steps(store, base="far")[0] == "pulling manifest"
    assert pulled == ["far"]
    assert steps(store, base="far")[0] == EXISTING


def test_shown_modelfile_makes_the_same_model(store: Store, base: str, adapter: str) -> None:
    """Parsed again, it asks for what the model was made of."""
    fields: dict[str, Any] = {
        "template": '{{ if eq .Role "user" }}\n{{ end }} ',
        "system": '"quoted"',
        "licenses": ("one\ntwo", "three"),
        "parameters": {"stop": [" a", "b"], "temperature": 0.25, "num_ctx": 4096},
        "messages": (Message(role="user", content="q\n"),),
        "renderer": "r",
        "parser": "p",
        "requires": "0.1.0",
    }
    steps(store, base=base, adapters={"a.gguf": adapter}, **fields)
    model = store.resolve("new")
    modelfile = parse_modelfile(modelfile_text(model))
    assert modelfile.sources == (str(model.model_path),)
    assert modelfile.all("adapter") == tuple(map(str, model.adapter_paths))
    for name in ("template", "system", "renderer", "parser", "requires"):
        assert modelfile.last(name) == fields[name]
    assert modelfile.all("license") == fields["licenses"]
    assert modelfile.parameters == fields["parameters"]
    assert modelfile.messages == (("user", "q\n"),)
