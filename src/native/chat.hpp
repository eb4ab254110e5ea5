// Jinja chat templates: prompts out of conversations, and messages out of what a model writes.
#pragma once

#include "model.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pyollama {

// How to read one answer. Kept apart from llama.cpp's types, which the implementation holds.
class AnswerParser;

struct RenderedChat {
    std::string prompt;
    std::string grammar; // empty: none
    bool grammar_lazy = false;
    std::vector<std::string> grammar_trigger_patterns;
    std::vector<int32_t> grammar_trigger_tokens;
    std::string grammar_prefill;
    std::vector<int32_t> preserved_tokens;
    std::vector<std::string> stops;
    std::string format;
    std::string thinking_start;
    std::vector<std::string> thinking_ends;
    std::shared_ptr<const AnswerParser> parser;

    // `text` is all of the answer so far; the result is JSON, see the stub.
    std::string parse(const std::string & text, bool partial) const;
};

// A template without a model, so that a process can run it that has none. May be used from many
// threads at once.
class DetachedTemplate {
  public:
    // An empty `source` means ChatML; `bos` and `eos` are the texts of these tokens.
    DetachedTemplate(const std::string & source, const std::string & bos, const std::string & eos);
    ~DetachedTemplate();

    // `request` is JSON, see the stub; the result is for `read_rendered()`.
    std::string render(const std::string & request) const;

  private:
    struct Templates; // llama.cpp's type
    std::unique_ptr<Templates> templates_;
};

// What a detached template made of a chat, with the tokens of `model`.
std::shared_ptr<RenderedChat> read_rendered(const Model & model, const std::string & rendered);

// Keeps its model alive. May be used from many threads at once.
class ChatTemplate {
  public:
    // An empty `source` means the model's own template, or ChatML where it has none.
    ChatTemplate(std::shared_ptr<Model> model, const std::string & source);
    ~ChatTemplate();

    std::string source() const;
    std::map<std::string, bool> capabilities() const;

    // `request` is JSON, see the stub.
    std::shared_ptr<RenderedChat> apply(const std::string & request) const;

  private:
    struct Templates; // llama.cpp's type
    std::shared_ptr<Model> model_;
    std::unique_ptr<Templates> templates_;
};

} // namespace pyollama
