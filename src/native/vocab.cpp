#include "vocab.hpp"

#include "error.hpp"

#include "llama.h"

#include <limits>
#include <stdexcept>

namespace pyollama {

namespace {

constexpr size_t max_text = std::numeric_limits<int32_t>::max() / 2;

SpecialTokens special_tokens(const llama_vocab * vocab) {
    SpecialTokens special{};
    special.bos = llama_vocab_bos(vocab);
    special.eos = llama_vocab_eos(vocab);
    special.eot = llama_vocab_eot(vocab);
    special.sep = llama_vocab_sep(vocab);
    special.nl = llama_vocab_nl(vocab);
    special.pad = llama_vocab_pad(vocab);
    special.mask = llama_vocab_mask(vocab);
    special.fim_pre = llama_vocab_fim_pre(vocab);
    special.fim_suf = llama_vocab_fim_suf(vocab);
    special.fim_mid = llama_vocab_fim_mid(vocab);
    special.fim_pad = llama_vocab_fim_pad(vocab);
    special.fim_rep = llama_vocab_fim_rep(vocab);
    special.fim_sep = llama_vocab_fim_sep(vocab);
    special.add_bos = llama_vocab_get_add_bos(vocab);
    special.add_eos = llama_vocab_get_add_eos(vocab);
    special.add_sep = llama_vocab_get_add_sep(vocab);
    return special;
}

// llama.cpp takes bytes that are no UTF-8 for U+FFFD, but stops at four of them that would be a
// character beyond Unicode. Bytes that can begin none become ones that begin nothing at all.
std::string without_large_codepoints(std::string_view text) {
    std::string out(text);
    for (size_t i = 0; i < out.size(); ++i) {
        const auto byte = static_cast<unsigned char>(out[i]);
        const auto next = static_cast<unsigned char>(i + 1 < out.size() ? out[i + 1] : '\0');
        if (byte > 0xf4 || (byte == 0xf4 && next > 0x8f)) {
            out[i] = '\xff';
        }
    }
    return out;
}

} // namespace

Vocab::Vocab(const llama_vocab * vocab)
    : vocab_(vocab), size_(llama_vocab_n_tokens(vocab)), special_(special_tokens(vocab)) {}

std::string Vocab::type() const {
    switch (llama_vocab_type(vocab_)) {
    case LLAMA_VOCAB_TYPE_NONE:
        return "none";
    case LLAMA_VOCAB_TYPE_SPM:
        return "spm";
    case LLAMA_VOCAB_TYPE_BPE:
        return "bpe";
    case LLAMA_VOCAB_TYPE_WPM:
        return "wpm";
    case LLAMA_VOCAB_TYPE_UGM:
        return "ugm";
    case LLAMA_VOCAB_TYPE_RWKV:
        return "rwkv";
    case LLAMA_VOCAB_TYPE_PLAMO2:
        return "plamo2";
    case LLAMA_VOCAB_TYPE_TEST:
        return "test";
    }
    return "unknown";
}

void Vocab::check(int32_t token) const {
    if (llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_NONE) {
        throw Error(Code::native_error, "the model has no vocabulary");
    }
    if (token < 0 || token >= size_) {
        throw Error(Code::invalid_request, "token " + std::to_string(token) +
                                               " is outside the vocabulary of " +
                                               std::to_string(size_) + " tokens");
    }
}

bool Vocab::is_eog(int32_t token) const {
    check(token);
    return llama_vocab_is_eog(vocab_, token);
}

bool Vocab::is_control(int32_t token) const {
    check(token);
    return llama_vocab_is_control(vocab_, token);
}

float Vocab::score(int32_t token) const {
    check(token);
    return llama_vocab_get_score(vocab_, token);
}

std::vector<int32_t> Vocab::eog_tokens() const {
    std::vector<int32_t> out;
    for (int32_t token = 0; token < size_; ++token) {
        if (llama_vocab_is_eog(vocab_, token)) {
            out.push_back(token);
        }
    }
    return out;
}

// llama.cpp asserts that a token it was told to add exists; a damaged file can break that.
void Vocab::check_can_add_special() const {
    const bool wordpiece = llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_WPM;
    if ((special_.add_bos || wordpiece) && special_.bos < 0) {
        throw Error(Code::native_error, "the model wants a BOS token added, but defines none");
    }
    if (special_.add_eos && special_.eos < 0) {
        throw Error(Code::native_error, "the model wants an EOS token added, but defines none");
    }
    if (wordpiece && special_.sep < 0) {
        throw Error(Code::native_error, "the model wants a separator added, but defines none");
    }
}

std::vector<int32_t> Vocab::tokenize(std::string_view text, bool add_special,
                                     bool parse_special) const {
    const AssertionsThrow guard;
    if (llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_NONE) {
        throw Error(Code::native_error, "the model has no vocabulary");
    }
    if (text.size() > max_text) {
        throw Error(Code::invalid_request,
                    "the text is too long to tokenize: " + std::to_string(text.size()) + " bytes");
    }
    if (add_special) {
        check_can_add_special();
    }
    std::string repaired;
    const auto run = [&](std::vector<int32_t> & out) {
        return llama_tokenize(vocab_, text.data(), static_cast<int32_t>(text.size()), out.data(),
                              static_cast<int32_t>(out.size()), add_special, parse_special);
    };
    std::vector<int32_t> out(text.size() / 2 + 16);
    int32_t count = 0;
    try {
        count = run(out);
    } catch (const std::invalid_argument &) {
        repaired = without_large_codepoints(text);
        text = repaired;
        count = run(out);
    }
    if (count < 0 && count != std::numeric_limits<int32_t>::min()) {
        out.resize(static_cast<size_t>(-count));
        count = run(out);
    }
    if (count < 0) {
        throw Error(Code::native_error, "the text has too many tokens");
    }
    out.resize(static_cast<size_t>(count));
    return out;
}

std::string Vocab::detokenize(const int32_t * tokens, size_t count, bool remove_special,
                              bool render_special) const {
    const AssertionsThrow guard;
    for (size_t i = 0; i < count; ++i) {
        check(tokens[i]);
    }
    if (count > max_text) {
        throw Error(Code::invalid_request, "too many tokens to detokenize");
    }
    if (count == 0) {
        return {};
    }
    const auto run = [&](std::string & out) {
        return llama_detokenize(vocab_, tokens, static_cast<int32_t>(count), out.data(),
                                static_cast<int32_t>(out.size()), remove_special, render_special);
    };
    std::string out(count * 8 + 32, '\0');
    int32_t size = run(out);
    if (size < 0) {
        out.resize(static_cast<size_t>(-size));
        size = run(out);
    }
    if (size < 0) {
        throw Error(Code::native_error, "the tokens cannot be turned into text");
    }
    out.resize(static_cast<size_t>(size));
    return out;
}

std::string Vocab::piece(int32_t token, bool render_special) const {
    const AssertionsThrow guard;
    check(token);
    std::string out(32, '\0');
    const auto run = [&] {
        return llama_token_to_piece(vocab_, token, out.data(), static_cast<int32_t>(out.size()), 0,
                                    render_special);
    };
    int32_t size = run();
    if (size < 0) {
        out.resize(static_cast<size_t>(-size));
        size = run();
    }
    out.resize(static_cast<size_t>(size));
    return out;
}

} // namespace pyollama
