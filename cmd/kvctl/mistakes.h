// Mistakes: what is wrong with a command line, in one short line.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace flotilla::kvctl {

// The innermost command that was recognized.
const CLI::App* Innermost(const CLI::App* app);
// "kvctl member add".
std::string PathOf(const CLI::App* app);

// Says which word is wrong and, if one comes close, what was probably meant.
std::string Explain(const CLI::App& app, const CLI::ParseError& error,
                    const std::vector<std::string>& words);

// The candidate that `word` is a slip of the finger away from; empty: none.
std::string Nearest(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace flotilla::kvctl
