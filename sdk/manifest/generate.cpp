#include "manifest/generate.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>

#include "cnspec/provider.h"

namespace cnspec::manifest {
namespace {

std::string section_bytes(const Manifest& manifest) {
  const std::string json = to_json(manifest);
  std::string out(CNSPEC_MANIFEST_MAGIC);
  for (const std::uint32_t word : {1u, static_cast<std::uint32_t>(json.size())}) {
    for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>((word >> shift) & 0xff);
  }
  return out + json;
}

// Dots become underscores; a C++ keyword gets one at its end.
std::string identifier(std::string name) {
  // Those that a name, which begins with a lower-case letter, can be.
  constexpr std::array kKeywords = {"alignas",      "alignof",      "and",           "and_eq",
                                    "asm",          "auto",         "bitand",        "bitor",
                                    "bool",         "break",        "case",          "catch",
                                    "char",         "char16_t",     "char32_t",      "char8_t",
                                    "class",        "co_await",     "co_return",     "co_yield",
                                    "compl",        "concept",      "const",         "const_cast",
                                    "consteval",    "constexpr",    "constinit",     "continue",
                                    "decltype",     "default",      "delete",        "do",
                                    "double",       "dynamic_cast", "else",          "enum",
                                    "explicit",     "export",       "extern",        "false",
                                    "float",        "for",          "friend",        "goto",
                                    "if",           "inline",       "int",           "kType",
                                    "long",         "mutable",      "namespace",     "new",
                                    "noexcept",     "not",          "not_eq",        "nullptr",
                                    "operator",     "or",           "or_eq",         "private",
                                    "protected",    "public",       "register",      "reinterpret_cast",
                                    "requires",     "return",       "short",         "signed",
                                    "sizeof",       "static",       "static_assert", "static_cast",
                                    "struct",       "switch",       "template",      "this",
                                    "thread_local", "throw",        "true",          "try",
                                    "typedef",      "typeid",       "typename",      "union",
                                    "unix",         "unsigned",     "using",         "virtual",
                                    "void",         "volatile",     "wchar_t",       "while",
                                    "xor",          "xor_eq",       "linux"};
  std::replace(name.begin(), name.end(), '.', '_');
  std::replace(name.begin(), name.end(), '-', '_');
  if (std::find(kKeywords.begin(), kKeywords.end(), name) != kKeywords.end()) name += '_';
  return name;
}

}  // namespace

std::string generate_source(const Manifest& manifest) {
  const std::string bytes = section_bytes(manifest);
  std::string out =
      "/* Generated from provider.yaml. */\n"
      "#if defined(_MSC_VER)\n"
      "#pragma section(\".cnspec\", read)\n"
      "#define CNSPEC_SECTION __declspec(allocate(\".cnspec\"))\n"
      "#elif defined(__APPLE__)\n"
      "#define CNSPEC_SECTION __attribute__((section(\"__TEXT,__cnspec\"), used))\n"
      "#elif defined(__clang__)\n" /* whose address sanitizer puts guards behind what is global */
      "#define CNSPEC_SECTION __attribute__((section(\".cnspec\"), used, aligned(8), "
      "no_sanitize(\"address\")))\n"
      "#else\n"
      "#define CNSPEC_SECTION __attribute__((section(\".cnspec\"), used, aligned(8)))\n"
      "#endif\n"
      "extern const char cnspec_manifest_data[" +
      std::to_string(bytes.size()) +
      "];\n"
      "CNSPEC_SECTION const char cnspec_manifest_data[" +
      std::to_string(bytes.size()) + "] = {";
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    char item[8];
    std::snprintf(item, sizeof item, "'\\x%02x',",
                  static_cast<unsigned>(static_cast<unsigned char>(bytes[i])));
    out += i % 16 == 0 ? "\n  " : "";
    out += item;
  }
  return out + "\n};\n";
}

std::string generate_header(const Manifest& manifest) {
  std::string out =
      "/* Generated from provider.yaml: the manifest, and the names of resources and fields. */\n"
      "#ifndef CNSPEC_GENERATED_MANIFEST_H\n"
      "#define CNSPEC_GENERATED_MANIFEST_H\n\n"
      "#ifdef __cplusplus\nextern \"C\"\n#else\nextern\n#endif\n"
      "const char cnspec_manifest_data[" +
      std::to_string(section_bytes(manifest).size()) +
      "];\n"
      "#define CNSPEC_MANIFEST {cnspec_manifest_data, sizeof(cnspec_manifest_data)}\n\n"
      "#ifdef __cplusplus\n"
      "namespace resources {\n";
  for (const Resource& r : manifest.resources) {
    out += "namespace " + identifier(r.name) + " {\n";
    out += "inline constexpr char kType[] = \"" + r.name + "\";\n";
    for (const auto* fields : {&r.args, &r.fields}) {
      for (const Field& f : *fields) {
        const bool both =
            fields == &r.fields &&
            std::any_of(r.args.begin(), r.args.end(), [&](const Field& a) { return a.name == f.name; });
        if (!both) out += "inline constexpr char " + identifier(f.name) + "[] = \"" + f.name + "\";\n";
      }
    }
    out += "}\n";
  }
  out += "}\nnamespace flags {\n";
  std::vector<std::string> done;
  for (const Connector& c : manifest.connectors) {
    for (const Flag& f : c.flags) {
      if (std::find(done.begin(), done.end(), f.name) != done.end()) continue;
      done.push_back(f.name);
      out += "inline constexpr char " + identifier(f.name) + "[] = \"" + f.name + "\";\n";
    }
  }
  return out + "}\n#endif\n#endif\n";
}

}  // namespace cnspec::manifest
