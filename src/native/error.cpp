#include "error.hpp"

#include "log.hpp"

#include "ggml.h"

#include <cstdio>
#include <new>

namespace pyollama {

namespace {

const char * code_name(Code code) {
    switch (code) {
    case Code::internal_error:
        return "internal_error";
    case Code::invalid_request:
        return "invalid_request";
    case Code::invalid_grammar:
        return "invalid_grammar";
    case Code::template_error:
        return "template_error";
    case Code::native_error:
        return "native_error";
    case Code::out_of_cells:
        return "out_of_cells";
    case Code::model_load_failed:
        return "model_load_failed";
    case Code::out_of_memory:
        return "out_of_memory";
    case Code::aborted:
        return "aborted";
    }
    return "internal_error";
}

thread_local int assertions_throw = 0;

// ggml ends the process when this returns.
void on_assertion(const char * message) {
    if (assertions_throw > 0) {
        throw Error(Code::native_error, message);
    }
    std::fprintf(stderr, "%s\n", message);
    std::fflush(stderr);
}

} // namespace

ErrorInfo current_error() noexcept {
    try {
        throw;
    } catch (const Error & error) {
        return {code_name(error.code()), error.what()};
    } catch (const std::bad_alloc &) {
        return {code_name(Code::out_of_memory), "out of memory"};
    } catch (const std::exception & error) {
        return {code_name(Code::native_error), error.what()};
    } catch (...) {
        return {code_name(Code::native_error), "an exception of an unknown type"};
    }
}

NativeCall::NativeCall() {
    forget_error_line();
}

Error NativeCall::failed(Code code, const std::string & message) const {
    const std::string line = error_line();
    // the line is all there is to tell a lack of memory from other failures
    const auto says = [&line](const char * words) { return line.find(words) != std::string::npos; };
    const bool memory = says("allocate") || says("out of memory") || says("bad_alloc");
    return Error(memory ? Code::out_of_memory : code,
                 line.empty() ? message : message + ": " + line);
}

AssertionsThrow::AssertionsThrow() {
    ++assertions_throw;
}

AssertionsThrow::~AssertionsThrow() {
    --assertions_throw;
}

void install_assertion_handler() {
    ggml_set_abort_callback(on_assertion);
}

} // namespace pyollama
