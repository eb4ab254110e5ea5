// Text to tokens and back. All of it may be used from many threads at once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

struct llama_vocab;

namespace pyollama {

struct SpecialTokens { // -1: the model has none
    int32_t bos, eos, eot, sep, nl, pad, mask;
    int32_t fim_pre, fim_suf, fim_mid, fim_pad, fim_rep, fim_sep;
    bool add_bos, add_eos, add_sep;
};

class Vocab {
  public:
    explicit Vocab(const llama_vocab * vocab);

    int32_t size() const { return size_; }
    std::string type() const;
    const SpecialTokens & special() const { return special_; }
    const llama_vocab * raw() const { return vocab_; }

    bool is_eog(int32_t token) const;
    bool is_control(int32_t token) const;
    float score(int32_t token) const;
    std::vector<int32_t> eog_tokens() const;

    std::vector<int32_t> tokenize(std::string_view text, bool add_special,
                                  bool parse_special) const;
    std::string detokenize(const int32_t * tokens, size_t count, bool remove_special,
                           bool render_special) const;
    std::string piece(int32_t token, bool render_special) const;

    // Throws unless `token` is in the vocabulary.
    void check(int32_t token) const;

  private:
    void check_can_add_special() const;

    const llama_vocab * vocab_;
    int32_t size_;
    SpecialTokens special_;
};

} // namespace pyollama
