// GBNF grammars before they are used: checked, or made out of a JSON schema.
#pragma once

#include "vocab.hpp"

#include <string>

namespace pyollama {

// Throws invalid_grammar with line, column and cause. llama.cpp would print the cause to stderr and
// return nothing, and would follow nested groups until the stack is gone. Whether the tokens that
// the grammar names exist is checked where there is a vocabulary.
void check_grammar(const std::string & text, const std::string & root,
                   const Vocab * vocab = nullptr);

std::string json_schema_to_grammar(const std::string & schema);

// Throws invalid_request where JSON text nests deeper than a recursive reader can follow.
void check_json_depth(const std::string & text, const char * what);

} // namespace pyollama
