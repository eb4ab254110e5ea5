#include "grammar.hpp"

#include "error.hpp"

#include "json-schema-to-grammar.h"
#include "json.h"

#include <algorithm>
#include <cstring>
#include <map>

namespace pyollama {

namespace {

constexpr int max_depth = 200;
constexpr int max_repetitions = 2000; // llama.cpp's own limit
constexpr size_t max_grammar_bytes = 8u << 20;

// A recognizer of GBNF as llama.cpp reads it; builds nothing but the table of names.
class GrammarReader {
  public:
    GrammarReader(const std::string & text, const Vocab * vocab) : text_(text), vocab_(vocab) {}

    void read(const std::string & root) {
        skip_space(true);
        while (!at_end()) {
            read_rule();
        }
        for (const auto & [name, at] : used_) {
            if (!defined_.count(name)) {
                position_ = at;
                fail("rule '" + name + "' is used but not defined");
            }
        }
        if (!defined_.count(root)) {
            throw Error(Code::invalid_grammar, "the grammar has no rule '" + root + "'");
        }
    }

  private:
    bool at_end() const { return position_ >= text_.size(); }
    char peek(size_t ahead = 0) const {
        return position_ + ahead < text_.size() ? text_[position_ + ahead] : '\0';
    }

    [[noreturn]] void fail(const std::string & cause) const {
        const auto begin = text_.begin();
        const auto here = begin + static_cast<std::ptrdiff_t>(std::min(position_, text_.size()));
        const auto line = 1 + std::count(begin, here, '\n');
        const size_t last_break = text_.rfind('\n', position_ == 0 ? 0 : position_ - 1);
        const size_t column =
            position_ -
            (last_break == std::string::npos || last_break >= position_ ? 0 : last_break + 1);
        throw Error(Code::invalid_grammar, "grammar, line " + std::to_string(line) + ", column " +
                                               std::to_string(column + 1) + ": " + cause);
    }

    void skip_space(bool newlines) {
        for (; !at_end(); ++position_) {
            const char c = peek();
            if (c == '#') {
                while (!at_end() && peek(1) != '\n' && peek(1) != '\r' && peek(1) != '\0') {
                    ++position_;
                }
            } else if (c != ' ' && c != '\t' && !(newlines && (c == '\n' || c == '\r'))) {
                return;
            }
        }
    }

    static bool is_name(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-';
    }

    std::string read_name() {
        const size_t begin = position_;
        while (is_name(peek())) {
            ++position_;
        }
        if (position_ == begin) {
            fail("a rule name is expected");
        }
        return text_.substr(begin, position_ - begin);
    }

    void read_rule() {
        const std::string name = read_name();
        skip_space(false);
        if (text_.compare(position_, 3, "::=") != 0) {
            fail("'::=' is expected after the rule name '" + name + "'");
        }
        position_ += 3;
        skip_space(true);
        read_alternates(0);
        if (!at_end() && peek() != '\n' && peek() != '\r') {
            fail(std::string("'") + peek() + "' is not expected here");
        }
        defined_[name] = true;
        skip_space(true);
    }

    void read_alternates(int depth) {
        if (depth > max_depth) {
            fail("groups are nested too deeply");
        }
        read_sequence(depth);
        while (peek() == '|') {
            ++position_;
            skip_space(true);
            read_sequence(depth);
        }
    }

    void read_sequence(int depth) {
        const bool nested = depth > 0;
        for (bool has_item = false;; has_item = true) {
            const char c = peek();
            if (c == '"') {
                read_quoted('"');
            } else if (c == '[') {
                read_quoted(']');
            } else if (c == '<' || c == '!') {
                read_token();
            } else if (c == '(') {
                ++position_;
                skip_space(true);
                read_alternates(depth + 1);
                if (peek() != ')') {
                    fail("')' is expected");
                }
                ++position_;
            } else if (c == '.') {
                ++position_;
            } else if (c == '*' || c == '+' || c == '?' || c == '{') {
                if (!has_item) {
                    fail(std::string("'") + c + "' has nothing to repeat");
                }
                read_repetition(nested);
            } else if (is_name(c)) {
                const size_t at = position_;
                used_.emplace(read_name(), at);
            } else {
                return;
            }
            skip_space(nested);
        }
    }

    void read_quoted(char end) {
        for (++position_; peek() != end;) {
            if (at_end() || peek() == '\0') {
                fail(std::string("the closing ") + end + " is missing");
            }
            if (peek() == '\\') {
                read_escape();
            } else {
                ++position_;
            }
        }
        ++position_;
    }

    void read_escape() {
        static const std::map<char, int> hex_digits = {{'x', 2}, {'u', 4}, {'U', 8}};
        const char kind = peek(1);
        const auto hex = hex_digits.find(kind);
        if (hex == hex_digits.end()) {
            if (kind == '\0' || std::strchr("trn\\\"[]-", kind) == nullptr) {
                fail("unknown escape");
            }
            position_ += 2;
            return;
        }
        position_ += 2;
        for (int i = 0; i < hex->second; ++i, ++position_) {
            if (std::isxdigit(static_cast<unsigned char>(peek())) == 0) {
                fail("a hexadecimal digit is expected");
            }
        }
    }

    void read_token() {
        if (peek() == '!') {
            ++position_;
        }
        if (peek() != '<') {
            fail("'<' is expected");
        }
        const size_t end = text_.find('>', position_);
        if (end == std::string::npos) {
            fail("the closing > is missing");
        }
        const std::string name = text_.substr(position_ + 1, end - position_ - 1);
        if (!name.empty() && name.front() == '[') {
            const bool digits =
                name.size() > 2 && name.size() < 12 && name.back() == ']' &&
                std::all_of(
                    name.begin() + 1, name.end() - 1, [](char c) { return c >= '0' && c <= '9'; });
            if (!digits) {
                fail("a token id is expected");
            }
        } else if (vocab_ != nullptr) {
            const std::string token = text_.substr(position_, end + 1 - position_);
            if (vocab_->tokenize(token, false, true).size() != 1) {
                fail(token + " is no token of the model");
            }
        }
        position_ = end + 1;
    }

    int64_t read_count(bool nested) {
        const size_t begin = position_;
        int64_t count = 0;
        for (; peek() >= '0' && peek() <= '9'; ++position_) {
            count = std::min<int64_t>(count * 10 + (peek() - '0'), INT32_MAX);
        }
        if (position_ == begin) {
            fail("a number is expected");
        }
        skip_space(nested);
        return count;
    }

    void read_repetition(bool nested) {
        if (peek() != '{') {
            ++position_;
            return;
        }
        ++position_;
        skip_space(nested);
        const int64_t low = read_count(nested);
        if (low > max_repetitions) {
            fail("more than " + std::to_string(max_repetitions) + " repetitions");
        }
        if (peek() == ',') {
            ++position_;
            skip_space(nested);
            if (peek() != '}' && read_count(nested) < low) {
                fail("the upper limit is below the lower one");
            }
        }
        if (peek() != '}') {
            fail("'}' is expected");
        }
        ++position_;
    }

    const std::string & text_;
    const Vocab * vocab_; // null: tokens are not looked up
    size_t position_ = 0;
    std::map<std::string, bool> defined_;
    std::map<std::string, size_t> used_;
};

} // namespace

void check_grammar(const std::string & text, const std::string & root, const Vocab * vocab) {
    if (text.size() > max_grammar_bytes) {
        throw Error(Code::invalid_grammar, "the grammar is longer than 8 MiB");
    }
    if (text.find('\0') != std::string::npos) {
        throw Error(Code::invalid_grammar, "the grammar contains a NUL byte");
    }
    GrammarReader(text, vocab).read(root);
}

void check_json_depth(const std::string & text, const char * what) {
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quoted && c == '\\') {
            ++i;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (!quoted && (c == '{' || c == '[')) {
            if (++depth > max_depth) {
                throw Error(Code::invalid_request, std::string(what) + " is nested too deeply");
            }
        } else if (!quoted && (c == '}' || c == ']')) {
            --depth;
        }
    }
}

std::string json_schema_to_grammar(const std::string & schema) {
    const AssertionsThrow guard;
    check_json_depth(schema, "the JSON schema");
    try {
        return ::json_schema_to_grammar(common_json::parse(schema), true);
    } catch (const std::exception & error) {
        throw Error(Code::invalid_grammar, std::string("JSON schema: ") + error.what());
    }
}

} // namespace pyollama
