#include "log.hpp"

#include "llama.h"
#include "log.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <mutex>
#include <utility>

namespace pyollama {

namespace {

constexpr size_t max_lines = 2000;
constexpr size_t max_line_bytes = 4000;
constexpr int debug = 10;
constexpr int warning = 30;
constexpr int error = 40;

std::atomic<int> lowest_level{20};

thread_local std::string thread_error;

int python_level(ggml_log_level level) {
    switch (level) {
    case GGML_LOG_LEVEL_DEBUG:
        return debug;
    case GGML_LOG_LEVEL_WARN:
        return warning;
    case GGML_LOG_LEVEL_ERROR:
        return error;
    default:
        return 20;
    }
}

// A message can be part of a line, a line or many; a part goes on with the next message of level
// CONT. Parts are joined per thread, so that threads do not cut into each other's lines.
class Ring {
  public:
    void add(int level, std::string text) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (lines_.size() == max_lines) {
            lines_.pop_front();
            ++lost_;
        }
        lines_.push_back({level, std::move(text)});
    }

    std::vector<LogLine> drain() {
        const std::lock_guard<std::mutex> lock(mutex_);
        std::vector<LogLine> out;
        out.reserve(lines_.size() + 1);
        if (lost_ > 0) {
            out.push_back({warning, std::to_string(lost_) + " earlier log lines were dropped"});
        }
        for (LogLine & line : lines_) {
            out.push_back(std::move(line));
        }
        lines_.clear();
        lost_ = 0;
        return out;
    }

  private:
    std::mutex mutex_;
    std::deque<LogLine> lines_;
    size_t lost_ = 0;
};

Ring & ring() {
    static Ring instance;
    return instance;
}

struct Partial {
    int level = 20;
    std::string text;
};

thread_local Partial partial;

// What llama.cpp warns of although it is meant here: a cache that many sequences share is larger
// than the context of one, and an aborted decode does not end well.
constexpr std::array intended{"possible training context overflow", "failed to decode, ret = 2"};

bool is_intended(const std::string & text) {
    return std::any_of(intended.begin(), intended.end(),
                       [&](const char * part) { return text.find(part) != std::string::npos; });
}

void finish_line() {
    std::string text = std::move(partial.text);
    partial.text.clear();
    if (text.empty()) {
        return;
    }
    if (partial.level >= warning && is_intended(text)) {
        partial.level = debug;
    }
    if (partial.level >= error && thread_error.empty()) {
        thread_error = text;
    }
    if (partial.level >= lowest_level.load(std::memory_order_relaxed)) {
        ring().add(partial.level, std::move(text));
    }
}

void on_message(ggml_log_level level, const char * text, void * /*user_data*/) {
    if (level != GGML_LOG_LEVEL_CONT) {
        finish_line();
        partial.level = python_level(level);
    }
    for (; *text != '\0'; ++text) {
        if (*text == '\n') {
            finish_line();
        } else if (partial.text.size() < max_line_bytes) {
            partial.text.push_back(*text);
        }
    }
}

} // namespace

void install_log() {
    llama_log_set(on_message, nullptr);
    common_log_set_verbosity_thold(-1);
}

std::vector<LogLine> drain_log() {
    finish_line();
    return ring().drain();
}

void set_log_level(int level) {
    lowest_level.store(level, std::memory_order_relaxed);
}

std::string error_line() {
    finish_line();
    // "llama_decode: failed to ..." - the function's name tells a user nothing
    const size_t colon = thread_error.find(": ");
    const size_t space = thread_error.find(' ');
    return colon != std::string::npos && colon < space ? thread_error.substr(colon + 2)
                                                       : thread_error;
}

void forget_error_line() {
    thread_error.clear();
}

} // namespace pyollama
