// What a registry of providers answers, read. Plain functions that wait for nothing, as in answers.hpp.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "upstream/answers.hpp"

namespace cnspec::upstream {

// latest.json. Entries whose name or version is none are left out; of a name that stands there twice the
// first counts. The error of an answer that is no such list says what it is instead.
Result<Versions> read_catalog(const transport::Response& answer, const std::string& url);

// By file name, in lower-case hex. kInvalid names the line that makes no sense.
using Checksums = std::map<std::string, std::string>;
Result<Checksums> read_checksums(std::string_view text, const std::string& shown);

// Why there is no document: for an answer that is neither 200 nor 206. kNotFound for 404 and 410.
Error refusal(const transport::Response& answer, const std::string& url);

// Of an answer with status 206: "bytes 5-9/100".
struct ContentRange {
  std::uint64_t first, last, whole;
};
std::optional<ContentRange> read_content_range(std::string_view header);

}  // namespace cnspec::upstream
