// What llama.cpp and ggml have to say, kept in a bounded ring until somebody drains it.
#pragma once

#include <string>
#include <vector>

namespace pyollama {

struct LogLine {
    int level; // of Python's logging: 10 debug, 20 info, 30 warning, 40 error
    std::string text;
};

// Sends the log of llama.cpp and ggml here, and silences the one of `common`, which would start a
// thread and write to the standard streams.
void install_log();

// Takes the lines out of the ring, oldest first. Where lines were lost, the first one says how
// many.
std::vector<LogLine> drain_log();

// Lines below `level` are dropped at once. Starts at 20.
void set_log_level(int level);

// The first error this thread has logged since it was told to forget: llama.cpp names the cause
// first and then what failed because of it. Without the function name in front.
std::string error_line();
void forget_error_line();

} // namespace pyollama
