#include "constraint.hpp"

#include "error.hpp"
#include "grammar.hpp"

#include <cctype>
#include <limits>
#include <regex>

namespace pyollama {

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

void check_patterns(const std::vector<std::string> & patterns) {
    for (const std::string & pattern : patterns) {
        try {
            const std::regex compiled(pattern);
        } catch (const std::regex_error & error) {
            throw Error(Code::invalid_grammar,
                        "trigger pattern '" + pattern + "': " + error.what());
        }
    }
}

} // namespace

Constraint::Constraint(std::shared_ptr<Model> model, const SamplerParams & params)
    : model_(std::move(model)), params_(std::make_shared<SamplerParams>(params)) {
    make();
    accept_prompt();
}

Constraint::Constraint(const Constraint & other)
    : model_(other.model_), params_(other.params_),
      native_(llama_sampler_clone(other.native_.get())) {}

void Constraint::make() {
    check_grammar(params_->grammar, params_->grammar_root, &model_->vocab());
    check_patterns(params_->grammar_trigger_patterns);
    const llama_vocab * vocab = model_->vocab().raw();
    const char * text = params_->grammar.c_str();
    const char * root = params_->grammar_root.c_str();
    const NativeCall call;
    if (params_->grammar_lazy) {
        std::vector<const char *> patterns = c_strings(params_->grammar_trigger_patterns);
        native_.reset(llama_sampler_init_grammar_lazy_patterns(
            vocab, text, root, patterns.data(), patterns.size(),
            params_->grammar_trigger_tokens.data(), params_->grammar_trigger_tokens.size()));
    } else {
        native_.reset(llama_sampler_init_grammar(vocab, text, root));
    }
    if (native_ == nullptr) {
        throw call.failed(Code::invalid_grammar, "the grammar cannot be used");
    }
}

// A grammar for a whole answer begins where the answer does, which may be before the end of the
// prompt: templates open the answer themselves.
void Constraint::accept_prompt() {
    const std::string & text = params_->grammar_prefill;
    if (params_->grammar_lazy || text.empty()) {
        return;
    }
    const Vocab & vocab = model_->vocab();
    const auto is_space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
    const std::vector<int32_t> tokens = vocab.tokenize(text, false, true);
    for (size_t i = 0; i < tokens.size(); ++i) {
        // some vocabularies put a space before the first token
        const std::string piece = vocab.piece(tokens[i], true);
        const bool extra = i == 0 && !piece.empty() && is_space(piece[0]) && !is_space(text[0]);
        if (!extra) {
            accept_in(native_.get(), tokens[i]);
        }
    }
}

void Constraint::reset() {
    llama_sampler_reset(native_.get());
    accept_prompt();
}

void Constraint::filter(std::vector<Candidate> & candidates) {
    candidates_.clear();
    for (const Candidate & candidate : candidates) {
        candidates_.push_back({candidate.id, candidate.logit, 0.0f});
    }
    llama_token_data_array all{candidates_.data(), candidates_.size(), -1, false};
    llama_sampler_apply(native_.get(), &all);
    candidates.clear();
    for (size_t i = 0; i < all.size; ++i) {
        if (all.data[i].logit > -infinity) {
            candidates.push_back({all.data[i].id, all.data[i].logit});
        }
    }
}

bool Constraint::allowed_by(llama_sampler * grammar, int32_t token) {
    llama_token_data candidate{token, 1.0f, 0.0f};
    llama_token_data_array one{&candidate, 1, -1, false};
    llama_sampler_apply(grammar, &one);
    return candidate.logit != -infinity;
}

void Constraint::accept(const int32_t * tokens, size_t count) {
    if (count == 1) {
        accept_in(native_.get(), tokens[0]);
        return;
    }
    NativeSampler advanced(llama_sampler_clone(native_.get()));
    for (size_t i = 0; i < count; ++i) {
        accept_in(advanced.get(), tokens[i]);
    }
    native_ = std::move(advanced);
}

// Asks first: llama.cpp aborts the process where generation ends before the grammar does.
void Constraint::accept_in(llama_sampler * grammar, int32_t token) const {
    const auto reject = [this, token] {
        throw Error(Code::invalid_grammar, "token " + std::to_string(token) + " ('" +
                                               model_->vocab().piece(token, true) +
                                               "') does not fit the grammar");
    };
    if (!allowed_by(grammar, token)) {
        reject();
    }
    try {
        llama_sampler_accept(grammar, token);
    } catch (const std::runtime_error &) {
        reject();
    }
}

} // namespace pyollama
