"""What is fuzzed: a reader, where to start from, and what to put in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.fuzz import readers, registry_readers

from pyollama.store.digest import digest_of
from pyollama.worker import wire


@dataclass(frozen=True, slots=True)
class Target:
    """``seeds`` are sound inputs to start from, ``words`` what a mutation may put in."""

    run: Callable[[bytes], None]
    seeds: Sequence[bytes]
    words: Sequence[bytes]
    longest: int = 4096


_GGUF_WORDS = (
    b"GGUF",
    b"general.alignment",
    b"\xff" * 8,
    b"\0\0\0\x80",
    b"\x08\0\0\0",
    b"\t\0\0\0",
)
_DIGEST = digest_of(b"x").encode()
_MANIFEST = (
    b'{"schemaVersion":2,"mediaType":"a","config":{"mediaType":"c","digest":"%s","size":1},'
    b'"layers":[{"mediaType":"m","digest":"%s","size":2,"from":"x"}]}' % (_DIGEST, _DIGEST)
)
_CHAT = (
    b'\0\1{"model":"m","messages":[{"role":"user","content":"hi"}],"keep_alive":"5m","tools":'
    b'[{"function":{"name":"f","parameters":{"properties":{"a":{"anyOf":[{}]}}}}}]}'
)
_JSON_WORDS = (
    b'{"',
    b'":',
    b"[[",
    b"]]",
    b"null",
    b"1e999",
    b"-1",
    b"9" * 30,
    b'"\\ud800"',
    b"\xff",
)

TARGETS: dict[str, Target] = {
    "name": Target(
        readers.names,
        (b"llama3", b"http://h:1/n/m:t", b"hf.co/u/r:Q4_K_M", b"x:8b-cloud", b"a:local"),
        (b"://", b"..", b":", b"/", b"-cloud", b":local", b"\\", b"\0"),
        400,
    ),
    "duration": Target(
        readers.durations,
        (b"1h30m", b"-1.5s", b"250ms", b"9223372036854775807ns", b".5us"),
        (
            "µs".encode(),
            "μs".encode(),
            b"ns",
            b"ms",
            b".",
            b"-",
            b"99999999999",
            b"1e9",
            b"\xd9\xa3",
        ),
        200,
    ),
    "modelfile": Target(
        readers.modelfile,
        (
            b'FROM x\nPARAMETER stop "a"\nSYSTEM """a\nb"""\nMESSAGE user hi\nREQUIRES v0.1.2\n',
            b"\xff\xfeF\0R\0O\0M\0 \0x\0",
            b"from ./m\nparameter num_ctx 1\nlicense x\n# c\nadapter a\ndraft d",
        ),
        (b'"""', b'"', b"FROM ", b"PARAMETER ", b"MESSAGE ", b"\r\n", b"\xfe\xff", b"#"),
    ),
    "gguf": Target(
        readers.gguf, (b"\1GGUF\3\0\0\0" + bytes(16), b"\0" + bytes(60)), _GGUF_WORDS, 8192
    ),
    "manifest": Target(
        readers.manifest,
        (b"\1" + _MANIFEST, bytes(range(200))),
        (*_JSON_WORDS, _DIGEST, b'"size":', b'"layers":'),
    ),
    "config": Target(
        readers.config,
        (
            b'\0\1{"model_format":"gguf","model_families":["a"],"draft":{"x":1},"context_length":5}',
            b'\1\1[{"role":"user","content":"hi"}]',
            b'\0\1{"stop":["x"],"temperature":0.5}',
        ),
        (*_JSON_WORDS, b'"context_length":', b'"model_families":', b'"role":', b'"draft":'),
    ),
    "template": Target(
        readers.template,
        (
            b"\0{{ range .Messages }}<|{{ .Role }}|>{{ .Content }}{{ end }}",
            b'\0{{ $x := "a" }}{{ range $i, $v := .L }}{{ printf "%5.2f|%v" 1.5 $v }}{{ end }}',
            b'\0{{ define "t" }}{{ . }}{{ end }}{{ template "t" (index .L 0) }}',
            bytes(range(1, 110)),
        ),
        (b"{{", b"}}", b"range ", b"printf ", b'"%v"', b"template ", b".Deep", b":=", b"(", b")"),
        2048,
    ),
    "body": Target(
        readers.body,
        (
            _CHAT,
            b'\1\1{"MODEL":"m","prompt":"p","options":{"seed":1},"images":["aGk="],"think":"high"}',
            b'\4\1{"model":"m","from":"x","files":{"a":"b"},"license":["x"],"info":{}}',
            (
                b'\7\1{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"}]}],'
                b'"n":2,"tools":[{"function":{"name":"f"}}],"tool_choice":"required","seed":1}'
            ),
            b'\x08\1{"model":"m","prompt":["a","b"],"best_of":2,"stop":["x"],"logit_bias":{"5":1}}',
        ),
        (
            *_JSON_WORDS,
            b'"keep_alive":',
            b'"anyOf":',
            b'"parameters":',
            b'"format":',
            b'"properties":',
        ),
    ),
    "frame": Target(
        readers.frames,
        (
            b"\0\7" + bytes(wire.encode(wire.Ping(7))),
            b"\0\1" + bytes(wire.encode(wire.Abort("a"))),
            b"\1\1" + bytes(wire.encode(wire.Log([(30, "warning")]))),
        ),
        (
            b"\xa4type",
            b"\x82",
            b"\xdf\xff\xff\xff\xff",
            b"\xdd\xff\xff\xff\xff",
            b"\xc6\xff\xff\xff",
        ),
    ),
    "challenge": Target(
        registry_readers.challenge,
        (
            b'Bearer realm="https://registry.example:5000/token",service="r",scope="a b"',
            b"bearer realm=/token , scope=repository:library/m:pull",
        ),
        (b'realm="', b"https://", b"//", b"@", b":5000", b"\\", b"?", b"#", b"[::1]", b"%2f"),
    ),
    "token": Target(
        registry_readers.token,
        (b'{"token":"abc","expires_in":300}', b'{"access_token":"x"}'),
        (*_JSON_WORDS, b'"token":', b"\\r\\n"),
    ),
    "answer": Target(
        registry_readers.answer,
        (
            b"\2\0https://cdn.example/x?sig=1",
            b'\0\2</api/x?cursor=a>; rel="next"',
            b"\1\6bytes 10-19/100",
            b"\7\4Wed, 21 Oct 2026 07:28:00 GMT",
            b"\1\x08sha-256=:AAAA:",
            b"\0\0050-99",
        ),
        (
            *(b"//", b"http://", b"@", b"\\\\", b"[::1]", b"127.0.0.1", b"0x7f000001", b"%00"),
            *(b'rel="next"', b"bytes ", b"-", b"/*", b"9" * 20, b":=:", b"..", b"\x7f", b"\xe2"),
        ),
        1024,
    ),
    "listing": Target(
        registry_readers.listing,
        (
            b'\0\1[{"type":"file","path":"m-Q4_K_M.gguf","size":9,"lfs":{"oid":"%s","size":9}}]'
            % (b"a" * 64),
            bytes(range(150)),
        ),
        (*_JSON_WORDS, b"-00001-of-00002", b".gguf", b"mmproj", b"../", b"a" * 64, b'"lfs":'),
    ),
    "state": Target(
        registry_readers.state,
        (b'{"N":0,"Offset":0,"Size":1000,"Completed":10}',),
        (*_JSON_WORDS, b'"N":', b'"Completed":'),
        200,
    ),
}
