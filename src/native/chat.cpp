#include "chat.hpp"

#include "error.hpp"
#include "grammar.hpp"

#include "chat.h"
#include "common.h"
#include "json.h"

#include <algorithm>
#include <utility>

namespace pyollama {

class AnswerParser {
  public:
    AnswerParser(const common_chat_params & chat, common_reasoning_format reasoning)
        : params_(chat) {
        params_.reasoning_format = reasoning;
        params_.reasoning_in_content = reasoning == COMMON_REASONING_FORMAT_DEEPSEEK_LEGACY;
        if (!chat.parser.empty()) {
            params_.parser.load(chat.parser);
        }
    }

    common_chat_msg parse(const std::string & text, bool partial) const {
        return common_chat_parse(text, partial, params_);
    }

  private:
    common_chat_parser_params params_;
};

struct ChatTemplate::Templates {
    common_chat_templates_ptr native;
};

struct DetachedTemplate::Templates {
    common_chat_templates_ptr native;
};

namespace {

template <typename T> T field(const common_json & object, const char * name, T fallback) {
    const bool given = object.contains(name) && !object.at(name).is_null();
    return given ? object.at(name).get<T>() : fallback;
}

common_json json_field(const common_json & object, const char * name) {
    return object.contains(name) ? object.at(name) : common_json(nullptr);
}

common_chat_templates_inputs read_request(const std::string & request, bool add_bos, bool add_eos,
                                          const common_chat_templates * templates) {
    check_json_depth(request, "the chat request");
    const common_json body = common_json::parse(request);
    common_chat_templates_inputs inputs;
    inputs.messages = common_chat_msgs_parse_oaicompat(json_field(body, "messages"));
    inputs.tools = common_chat_tools_parse_oaicompat(json_field(body, "tools"));
    inputs.tool_choice =
        common_chat_tool_choice_parse_oaicompat(field<std::string>(body, "tool_choice", "auto"));
    const common_json schema = json_field(body, "json_schema");
    inputs.json_schema = schema.is_null() ? "" : schema.dump();
    inputs.grammar = field<std::string>(body, "grammar", "");
    inputs.parallel_tool_calls =
        field<bool>(body, "parallel_tool_calls",
                    common_chat_templates_get_caps(templates)["supports_parallel_tool_calls"]);
    inputs.continue_final_message =
        common_chat_continuation_parse(json_field(body, "continue_final_message"));
    const bool goes_on = inputs.continue_final_message != COMMON_CHAT_CONTINUATION_NONE;
    inputs.add_generation_prompt = field<bool>(body, "add_generation_prompt", !goes_on);
    inputs.enable_thinking = field<bool>(body, "enable_thinking", true);
    inputs.reasoning_format =
        common_reasoning_format_from_name(field<std::string>(body, "reasoning_format", "auto"));
    inputs.add_bos = add_bos;
    inputs.add_eos = add_eos;
    const common_json kwargs = json_field(body, "kwargs");
    if (kwargs.is_object()) {
        for (const auto & [key, value] : kwargs.items()) {
            inputs.chat_template_kwargs[key] = value.dump();
        }
    }
    return inputs;
}

// What llama.cpp would render with an assertion or by dropping a part silently.
void check_request(const common_chat_templates_inputs & inputs) {
    const bool goes_on = inputs.continue_final_message != COMMON_CHAT_CONTINUATION_NONE;
    if (inputs.messages.empty()) {
        throw Error(Code::invalid_request, "messages must not be empty");
    }
    if (goes_on && inputs.add_generation_prompt) {
        throw Error(Code::invalid_request,
                    "continue_final_message and add_generation_prompt exclude each other");
    }
    if (goes_on && (inputs.messages.back().role != "assistant" ||
                    !inputs.messages.back().tool_calls.empty())) {
        throw Error(Code::invalid_request,
                    "only an assistant message without tool calls can be continued");
    }
    if (!inputs.grammar.empty() && !inputs.json_schema.empty()) {
        throw Error(Code::invalid_request, "json_schema and grammar exclude each other");
    }
    if (!inputs.tools.empty() && inputs.tool_choice != COMMON_CHAT_TOOL_CHOICE_NONE &&
        !inputs.grammar.empty()) {
        throw Error(Code::invalid_request, "tools and grammar exclude each other");
    }
}

std::string anchored(const std::string & pattern) {
    if (pattern.empty()) {
        return "^$";
    }
    return (pattern.front() == '^' ? "" : "^") + pattern + (pattern.back() == '$' ? "" : "$");
}

void add_trigger(RenderedChat & out, const common_grammar_trigger & trigger, const Vocab & vocab) {
    switch (trigger.type) {
    case COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN:
        out.grammar_trigger_tokens.push_back(trigger.token);
        return;
    case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN:
        out.grammar_trigger_patterns.push_back(trigger.value);
        return;
    case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL:
        out.grammar_trigger_patterns.push_back(anchored(trigger.value));
        return;
    case COMMON_GRAMMAR_TRIGGER_TYPE_WORD:
        break;
    }
    // a word that is one special token triggers as that token, else as text
    const std::vector<int32_t> ids = vocab.tokenize(trigger.value, false, true);
    const auto & preserved = out.preserved_tokens;
    if (ids.size() == 1 &&
        std::find(preserved.begin(), preserved.end(), ids[0]) != preserved.end()) {
        out.grammar_trigger_tokens.push_back(ids[0]);
    } else {
        out.grammar_trigger_patterns.push_back(regex_escape(trigger.value));
    }
}

// What a template made of a request, before any token of it is looked up.
struct Applied {
    common_chat_params chat;
    std::string grammar_prefill;
    common_reasoning_format reasoning;
};

Applied apply_templates(const common_chat_templates * templates, const std::string & request,
                        bool add_bos, bool add_eos) {
    common_chat_templates_inputs inputs;
    try {
        inputs = read_request(request, add_bos, add_eos, templates);
    } catch (const Error &) {
        throw;
    } catch (const std::exception & error) {
        throw Error(Code::invalid_request, std::string("chat request: ") + error.what());
    }
    check_request(inputs);
    try {
        Applied out{common_chat_templates_apply(templates, inputs), "", inputs.reasoning_format};
        // a grammar of the caller's own starts with the generated text, one made here with the
        // answer
        out.grammar_prefill = inputs.grammar.empty() ? out.chat.generation_prompt : "";
        if (out.chat.grammar.empty()) {
            out.chat.grammar = inputs.grammar;
        }
        return out;
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const std::exception & error) {
        throw Error(Code::template_error, std::string("chat template: ") + error.what());
    }
}

std::shared_ptr<RenderedChat> rendered(const Applied & applied, const Vocab & vocab) {
    const common_chat_params & chat = applied.chat;
    auto out = std::make_shared<RenderedChat>();
    out->prompt = chat.prompt;
    out->grammar = chat.grammar;
    out->grammar_lazy = chat.grammar_lazy;
    out->grammar_prefill = applied.grammar_prefill;
    for (const std::string & text : chat.preserved_tokens) {
        const std::vector<int32_t> ids = vocab.tokenize(text, false, true);
        if (ids.size() == 1) {
            out->preserved_tokens.push_back(ids[0]);
        }
    }
    for (const common_grammar_trigger & trigger : chat.grammar_triggers) {
        add_trigger(*out, trigger, vocab);
    }
    out->stops = chat.additional_stops;
    out->format = common_chat_format_name(chat.format);
    out->thinking_start = chat.thinking_start_tag;
    out->thinking_ends = chat.thinking_end_tags;
    out->parser = std::make_shared<AnswerParser>(chat, applied.reasoning);
    return out;
}

common_json texts_to_json(const std::vector<std::string> & texts) {
    common_json out = common_json::array();
    for (const std::string & text : texts) {
        out.push_back(text);
    }
    return out;
}

std::vector<std::string> texts_of(const common_json & list) {
    std::vector<std::string> out;
    for (const auto & text : list) {
        out.push_back(text.get<std::string>());
    }
    return out;
}

std::string to_json(const Applied & applied) {
    const common_chat_params & chat = applied.chat;
    common_json triggers = common_json::array();
    for (const common_grammar_trigger & trigger : chat.grammar_triggers) {
        triggers.push_back({{"type", static_cast<int>(trigger.type)},
                            {"value", trigger.value},
                            {"token", trigger.token}});
    }
    const common_json out = {{"format", static_cast<int>(chat.format)},
                             {"reasoning", static_cast<int>(applied.reasoning)},
                             {"prompt", chat.prompt},
                             {"grammar", chat.grammar},
                             {"grammar_lazy", chat.grammar_lazy},
                             {"grammar_prefill", applied.grammar_prefill},
                             {"generation_prompt", chat.generation_prompt},
                             {"thinking_start", chat.thinking_start_tag},
                             {"thinking_ends", texts_to_json(chat.thinking_end_tags)},
                             {"triggers", triggers},
                             {"preserved", texts_to_json(chat.preserved_tokens)},
                             {"stops", texts_to_json(chat.additional_stops)},
                             {"parser", chat.parser}};
    return out.dump_safe();
}

Applied from_json(const std::string & text) {
    const common_json body = common_json::parse(text);
    Applied out{};
    out.reasoning = static_cast<common_reasoning_format>(body.at("reasoning").get<int>());
    out.grammar_prefill = body.at("grammar_prefill").get<std::string>();
    common_chat_params & chat = out.chat;
    chat.format = static_cast<common_chat_format>(body.at("format").get<int>());
    chat.prompt = body.at("prompt").get<std::string>();
    chat.grammar = body.at("grammar").get<std::string>();
    chat.grammar_lazy = body.at("grammar_lazy").get<bool>();
    chat.generation_prompt = body.at("generation_prompt").get<std::string>();
    chat.thinking_start_tag = body.at("thinking_start").get<std::string>();
    chat.thinking_end_tags = texts_of(body.at("thinking_ends"));
    chat.preserved_tokens = texts_of(body.at("preserved"));
    chat.additional_stops = texts_of(body.at("stops"));
    chat.parser = body.at("parser").get<std::string>();
    for (const auto & trigger : body.at("triggers")) {
        const auto type = static_cast<common_grammar_trigger_type>(trigger.at("type").get<int>());
        chat.grammar_triggers.push_back(
            {type, trigger.at("value").get<std::string>(), trigger.at("token").get<int32_t>()});
    }
    return out;
}

// What the tokenizer adds again; llama.cpp drops it by itself where it has a model to ask.
void drop_added_tokens(std::string & prompt, const Vocab & vocab) {
    const auto & special = vocab.special();
    const auto text_of = [&](int32_t token) {
        return token < 0 ? std::string() : vocab.piece(token, true);
    };
    if (const std::string bos = text_of(special.bos); special.add_bos && prompt.starts_with(bos)) {
        prompt.erase(0, bos.size());
    }
    if (const std::string eos = text_of(special.eos); special.add_eos && prompt.ends_with(eos)) {
        prompt.resize(prompt.size() - eos.size());
    }
}

// llama.cpp loses the message on the way; parsing alone brings it back.
[[noreturn]] void throw_template_error(const std::string & source, const std::exception & error) {
    try {
        const common_chat_template again(source, "", "");
    } catch (const std::exception & cause) {
        throw Error(Code::template_error, std::string("chat template: ") + cause.what());
    }
    throw Error(Code::template_error, std::string("chat template: ") + error.what());
}

common_chat_templates_ptr parse_templates(const Model & model, const std::string & source) {
    const AssertionsThrow guard;
    try {
        return common_chat_templates_init(model.raw(), source);
    } catch (const std::exception & error) {
        const std::string own = source.empty() ? model.chat_template("").value_or("") : source;
        throw_template_error(own, error);
    }
}

common_chat_templates_ptr parse_templates(const std::string & source, const std::string & bos,
                                          const std::string & eos) {
    const AssertionsThrow guard;
    try {
        return common_chat_templates_init(nullptr, source.empty() ? "chatml" : source, bos, eos);
    } catch (const std::exception & error) {
        throw_template_error(source, error);
    }
}

} // namespace

ChatTemplate::ChatTemplate(std::shared_ptr<Model> model, const std::string & source)
    : model_(std::move(model)),
      templates_(std::make_unique<Templates>(Templates{parse_templates(*model_, source)})) {}

ChatTemplate::~ChatTemplate() = default;

std::string ChatTemplate::source() const {
    return common_chat_templates_source(templates_->native.get());
}

std::map<std::string, bool> ChatTemplate::capabilities() const {
    return common_chat_templates_get_caps(templates_->native.get());
}

std::shared_ptr<RenderedChat> ChatTemplate::apply(const std::string & request) const {
    const AssertionsThrow guard;
    const Vocab & vocab = model_->vocab();
    const Applied applied = apply_templates(templates_->native.get(), request,
                                            vocab.special().add_bos, vocab.special().add_eos);
    return rendered(applied, vocab);
}

DetachedTemplate::DetachedTemplate(const std::string & source, const std::string & bos,
                                   const std::string & eos)
    : templates_(std::make_unique<Templates>(Templates{parse_templates(source, bos, eos)})) {}

DetachedTemplate::~DetachedTemplate() = default;

std::string DetachedTemplate::render(const std::string & request) const {
    const AssertionsThrow guard;
    return to_json(apply_templates(templates_->native.get(), request, false, false));
}

std::shared_ptr<RenderedChat> read_rendered(const Model & model, const std::string & text) {
    const AssertionsThrow guard;
    try {
        Applied applied = from_json(text);
        drop_added_tokens(applied.chat.prompt, model.vocab());
        return rendered(applied, model.vocab());
    } catch (const std::exception & error) {
        throw Error(Code::template_error, std::string("rendered chat: ") + error.what());
    }
}

std::string RenderedChat::parse(const std::string & text, bool partial) const {
    const AssertionsThrow guard;
    const common_chat_msg message = parser->parse(text, partial);
    common_json calls = common_json::array();
    for (const common_chat_tool_call & call : message.tool_calls) {
        calls.push_back({{"id", call.id}, {"name", call.name}, {"arguments", call.arguments}});
    }
    const common_json out = {{"content", message.render_content()},
                             {"reasoning_content", message.reasoning_content},
                             {"tool_calls", calls}};
    return out.dump_safe();
}

} // namespace pyollama
