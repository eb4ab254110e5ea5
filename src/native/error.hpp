// The one kind of failure that leaves this library, and the funnel that makes it so.
#pragma once

#include <stdexcept>
#include <string>

namespace pyollama {

// Each one is the stable code of a class in pyollama/errors.py.
enum class Code {
    internal_error,
    invalid_request,
    invalid_grammar,
    template_error,
    native_error,
    out_of_cells,
    model_load_failed,
    out_of_memory,
    aborted,
};

class Error : public std::runtime_error {
  public:
    Error(Code code, const std::string & message) : std::runtime_error(message), code_(code) {}

    Code code() const { return code_; }

  private:
    Code code_;
};

struct ErrorInfo {
    std::string code;
    std::string message;
};

// Describes the exception that is being handled; for use inside a catch clause only.
ErrorInfo current_error() noexcept;

// For calls of llama.cpp that report no more than "it failed": forgets the error line of this
// thread when made, and appends the one logged since to the message of the error it makes.
class NativeCall {
  public:
    NativeCall();

    // `code` becomes out_of_memory where the line says so.
    Error failed(Code code, const std::string & message) const;
};

// While one lives, an assertion of llama.cpp that fails on this thread throws a native_error
// instead of ending the process. For calls that read data from outside, and whose half-made result
// is thrown away when they fail; never around a computation.
class AssertionsThrow {
  public:
    AssertionsThrow();
    ~AssertionsThrow();
    AssertionsThrow(const AssertionsThrow &) = delete;
    AssertionsThrow & operator=(const AssertionsThrow &) = delete;
};

// Makes failed assertions go through the above, and otherwise say on stderr what failed.
void install_assertion_handler();

} // namespace pyollama
