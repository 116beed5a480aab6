// provider.yaml through the real cnspec-manifest: what it says about a wrong one, and that a right one
// arrives unchanged in the host by way of a library's section.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "cnspec/provider.h"
#include "provider/elf.hpp"
#include "provider/manifest.hpp"
#include "support/process.hpp"

namespace {

using namespace cnspec::provider;
using cnspec::test::ProcessOptions;
using cnspec::test::program;
using cnspec::test::RunResult;
using cnspec::test::TempDir;

constexpr const char* kHead = "id: example.com/x\nname: x\nversion: 1.2.3\nsummary: X\n";

RunResult compile(const TempDir& folder, std::string_view yaml, std::vector<std::string> more = {}) {
  folder.write("provider.yaml", yaml);
  std::vector<std::string> argv = {program("cnspec-manifest"), "provider.yaml", "--output", "out"};
  argv.insert(argv.end(), more.begin(), more.end());
  ProcessOptions options;
  options.cwd = folder.path();
  return cnspec::test::run(argv, options);
}

struct Wrong {
  const char* name;
  std::string yaml;
  const char* said;
};

void PrintTo(const Wrong& wrong, std::ostream* out) { *out << wrong.name; }

class WrongYaml : public testing::TestWithParam<Wrong> {};

TEST_P(WrongYaml, IsNamedByFileLineAndReason) {
  const TempDir folder;
  const RunResult result = compile(folder, GetParam().yaml);
  EXPECT_EQ(result.err, std::string(GetParam().said) + "\n");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
}

std::string with(const char* rest) { return std::string(kHead) + rest; }
std::string flag(const char* lines) {
  return with("connectors:\n  x:\n    summary: X\n    flags:\n      port:\n") + lines;
}
std::string field(const char* lines) { return with("resources:\n  x:\n    doc: X\n    fields:\n") + lines; }

INSTANTIATE_TEST_SUITE_P(
    Table, WrongYaml,
    testing::Values(
        Wrong{"Empty", "", "provider.yaml: provider.yaml must be a mapping"},
        Wrong{"Text", "coffee", "provider.yaml:1: provider.yaml must be a mapping"},
        Wrong{"List", "- id", "provider.yaml:1: provider.yaml must be a mapping"},
        Wrong{"NoYaml", "id: [", "provider.yaml:1: end of sequence flow not found"},
        Wrong{"Tab", "id: x\n\tname: y", "provider.yaml:2: illegal tab when looking for indentation"},
        Wrong{"UnknownKey", with("sumary: Y\n"),
              "provider.yaml:5: provider.yaml has no key \"sumary\"; known are: id, name, version, summary, "
              "threads, "
              "open_schema, capabilities, connectors, resources"},
        Wrong{"KeyTwice", with("name: y\n"), "provider.yaml:2: provider.yaml has the key \"name\" twice"},
        Wrong{"NoId", "name: x\nversion: 1.0.0\nsummary: X\n", "provider.yaml:1: the key \"id\" is missing"},
        Wrong{"NoVersion", "id: x\nname: x\nsummary: X\n", "provider.yaml:1: the key \"version\" is missing"},
        Wrong{"NullName", "id: x\nname:\nversion: 1.0.0\nsummary: X\n",
              "provider.yaml:1: the key \"name\" is missing"},
        Wrong{"IdList", "id: [x]\nname: x\nversion: 1.0.0\nsummary: X\n",
              "provider.yaml:1: \"id\" must be text"},
        Wrong{"IdBad", "name: x\nid: ../x\nversion: 1.0.0\nsummary: X\n",
              "provider.yaml:2: id must look like example.com/providers/coffee, found \"../x\""},
        Wrong{"NameBad", "id: x\nname: X y\nversion: 1.0.0\nsummary: X\n",
              "provider.yaml:2: name must be letters, digits and dashes and begin with a lower-case letter, "
              "found \"X y\""},
        Wrong{"VersionBad", "id: x\nname: x\nversion: v1\nsummary: X\n",
              "provider.yaml:3: version must look like 1.2.3, found \"v1\""},
        Wrong{"SummaryLines", "id: x\nname: x\nversion: 1.0.0\nsummary: \"X\\nY\"\n",
              "provider.yaml:4: summary must be one line of text"},
        Wrong{"Threads", with("threads: some\n"),
              "provider.yaml:5: threads must be one or many, found \"some\""},
        Wrong{"OpenSchema", with("open_schema: perhaps\n"),
              "provider.yaml:5: \"open_schema\" must be true or false"},
        Wrong{"CapabilityUnknown", with("capabilities: {net: [x]}\n"),
              "provider.yaml:5: capabilities has no key \"net\"; known are: network, files, env, exec"},
        Wrong{"NetworkText", with("capabilities:\n  network: x\n"),
              "provider.yaml:6: \"network\" must be a list"},
        Wrong{"NetworkEntry", with("capabilities:\n  network:\n    - [x]\n"),
              "provider.yaml:7: an entry of \"network\" must be text"},
        Wrong{"NetworkUrl", with("capabilities:\n  network: [https://x.com]\n"),
              "provider.yaml:5: network must list hosts such as example.com, *.example.com or *, found "
              "\"https://x.com\""},
        Wrong{"NetworkFlag",
              with("capabilities:\n  network: [\"flag:url\"]\nconnectors:\n  x:\n    summary: X\n"),
              "provider.yaml:5: network names no flag of a connector with the type string: \"flag:url\""},
        Wrong{"NetworkSecretFlag",
              with("capabilities:\n  network: [\"flag:url\"]\nconnectors:\n  x:\n    summary: X\n    flags:\n"
                   "      url: {type: string, summary: X, secret: true}\n"),
              "provider.yaml:5: network names no flag of a connector with the type string: \"flag:url\""},
        Wrong{"NetworkArgument",
              with("capabilities:\n  network: [\"arg:2\"]\nconnectors:\n  x:\n    summary: X\n    args: "
                   "{max: 1}\n"),
              "provider.yaml:5: network names no argument of a connector: \"arg:2\""},
        Wrong{"NetworkArgumentZero",
              with("capabilities:\n  network: [\"arg:0\"]\nconnectors:\n  x:\n    summary: X\n    args: "
                   "{max: 1}\n"),
              "provider.yaml:5: network names no argument of a connector: \"arg:0\""},
        Wrong{"NetworkVariable", with("capabilities:\n  network: [\"env:URL\"]\n  env: [URLS, UR]\n"),
              "provider.yaml:5: network names a variable that env does not list: \"env:URL\""},
        Wrong{
            "FilesRelative", with("capabilities:\n  files: [etc/passwd]\n"),
            "provider.yaml:5: files must list absolute paths, ~/PATH or env:VARIABLE, without \"..\", found "
            "\"etc/passwd\""},
        Wrong{
            "FilesUp", with("capabilities:\n  files: [/etc/..]\n"),
            "provider.yaml:5: files must list absolute paths, ~/PATH or env:VARIABLE, without \"..\", found "
            "\"/etc/..\""},
        Wrong{
            "FilesOfOthers", with("capabilities:\n  files: [~root/x]\n"),
            "provider.yaml:5: files must list absolute paths, ~/PATH or env:VARIABLE, without \"..\", found "
            "\"~root/x\""},
        Wrong{"FilesVariable", with("capabilities:\n  files: [\"env:FILE\"]\n"),
              "provider.yaml:5: files names a variable that env does not list: \"env:FILE\""},
        Wrong{"EnvAll", with("capabilities:\n  env: [\"*\"]\n"),
              "provider.yaml:5: env must list names of variables such as HOME or AWS_*, found \"*\""},
        Wrong{"EnvName", with("capabilities:\n  env: [\"A B\"]\n"),
              "provider.yaml:5: env must list names of variables such as HOME or AWS_*, found \"A B\""},
        Wrong{"ExecRelative", with("capabilities:\n  exec: [bin/x]\n"),
              "provider.yaml:5: exec must list programs such as rpm or /usr/bin/rpm, found \"bin/x\""},
        Wrong{"ConnectorsList", with("connectors: [x]\n"),
              "provider.yaml:5: \"connectors\" must map names to descriptions"},
        Wrong{"ConnectorText", with("connectors:\n  x: y\n"),
              "provider.yaml:6: \"x\" under \"connectors\" must be a mapping"},
        Wrong{"ConnectorNoSummary", with("connectors:\n  x:\n    usage: X\n"),
              "provider.yaml:7: the key \"summary\" is missing"},
        Wrong{"ConnectorName", with("connectors:\n  x_y:\n    summary: X\n"),
              "provider.yaml:6: connector \"x_y\": a name is letters, digits and dashes"},
        Wrong{"ConnectorTwice", with("connectors:\n  x:\n    summary: X\n  x:\n    summary: Y\n"),
              "provider.yaml:8: connector \"x\" is declared twice"},
        Wrong{"AliasTaken", with("connectors:\n  x:\n    summary: X\n    aliases: [x]\n"),
              "provider.yaml:6: connector \"x\": alias \"x\" is taken"},
        Wrong{"ArgsOrder", with("connectors:\n  x:\n    summary: X\n    args: {min: 2, max: 1}\n"),
              "provider.yaml:6: connector \"x\": args must have 0 <= min <= max <= 64"},
        Wrong{"ArgsText", with("connectors:\n  x:\n    summary: X\n    args: {min: few}\n"),
              "provider.yaml:8: \"min\" must be a whole number"},
        Wrong{"FlagNoType", flag("        summary: X\n"), "provider.yaml:10: the key \"type\" is missing"},
        Wrong{"FlagType", flag("        {type: number, summary: X}\n"),
              "provider.yaml:9: connector \"x\", flag \"port\": type must be bool, int, string, list or map, "
              "found "
              "\"number\""},
        Wrong{"FlagHelp", flag("        {type: int, summary: X, short: h}\n"),
              "provider.yaml:9: connector \"x\", flag \"port\": --help and -h are the program's own"},
        Wrong{"FlagShort", flag("        {type: int, summary: X, short: po}\n"),
              "provider.yaml:9: connector \"x\", flag \"port\": short must be one letter, found \"po\""},
        Wrong{"FlagDefault", flag("        {type: int, summary: X, default: high}\n"),
              "provider.yaml:9: connector \"x\", flag \"port\": default \"high\" is no int"},
        Wrong{"FlagSecretInt", flag("        {type: int, summary: X, secret: true}\n"),
              "provider.yaml:9: connector \"x\", flag \"port\": a secret has the type string"},
        Wrong{"FlagSecretDefault",
              flag("        {type: string, summary: X, secret: true, default: hunter2}\n"),
              "provider.yaml:9: connector \"x\", flag \"port\": a secret has no default"},
        Wrong{"FlagAsksFor", flag("        {type: bool, summary: X, asks_for: pass}\n"),
              "provider.yaml:9: connector \"x\", flag \"port\": asks_for names no secret flag of the "
              "connector: "
              "\"pass\""},
        Wrong{
            "FlagShortTwice",
            flag("        {type: int, summary: X, short: p}\n      pin: {type: int, summary: X, short: p}\n"),
            "provider.yaml:11: connector \"x\", flag \"pin\": the name or its short form is taken"},
        Wrong{"ResourceName", with("resources:\n  X:\n    doc: X\n"),
              "provider.yaml:6: resource \"X\": a name is dotted words of letters, digits and underscores"},
        Wrong{
            "ResourceDots", with("resources:\n  x..y:\n    doc: X\n"),
            "provider.yaml:6: resource \"x..y\": a name is dotted words of letters, digits and underscores"},
        Wrong{"ResourceTwice", with("resources:\n  x: {doc: X}\n  x: {doc: X}\n"),
              "provider.yaml:7: resource \"x\" is declared twice"},
        Wrong{"ListOfNothing", with("resources:\n  x: {doc: X, list: y}\n"),
              "provider.yaml:6: resource \"x\": list names no resource: \"y\""},
        Wrong{"DefaultsNoField", with("resources:\n  x: {doc: X, defaults: [y]}\n"),
              "provider.yaml:6: resource \"x\": defaults names no field: \"y\""},
        Wrong{"FieldType", field("      a: {type: text, doc: A}\n"),
              "provider.yaml:9: resource \"x\", field \"a\": type \"text\" is neither a basic type nor a "
              "resource"},
        Wrong{"FieldDeepType", field("      a: {type: '[][][][][][][][][]int', doc: A}\n"),
              "provider.yaml:9: resource \"x\", field \"a\": type \"[][][][][][][][][]int\" is neither a "
              "basic type nor "
              "a resource"},
        Wrong{"FieldNoDoc", field("      a: {type: int}\n"), "provider.yaml:9: the key \"doc\" is missing"},
        Wrong{"FieldName", field("      a-b: {type: int, doc: A}\n"),
              "provider.yaml:9: resource \"x\", field \"a-b\": a name is letters, digits and underscores"},
        Wrong{"FieldTwice", field("      a: {type: int, doc: A}\n      a: {type: int, doc: A}\n"),
              "provider.yaml:10: resource \"x\", field \"a\" is declared twice"}),
    [](const auto& wrong) { return std::string(wrong.param.name); });

TEST(CnspecManifest, SaysHowItIsUsed) {
  const std::string usage = "usage: cnspec-manifest provider.yaml --output DIR [--version VERSION]\n";
  for (const std::vector<std::string>& args : {std::vector<std::string>{},
                                               {"x.yaml"},
                                               {"--output", "y"},
                                               {"x.yaml", "--output"},
                                               {"x.yaml", "--frob", "y"}}) {
    std::vector<std::string> argv = {program("cnspec-manifest")};
    argv.insert(argv.end(), args.begin(), args.end());
    const RunResult result = cnspec::test::run(argv);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_EQ(result.err, usage);
  }
}

TEST(CnspecManifest, NamesAFileItCannotRead) {
  const RunResult result =
      cnspec::test::run({program("cnspec-manifest"), "/nonexistent/p.yaml", "--output", "/tmp"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "/nonexistent/p.yaml: cannot be read\n");
}

// The manifest as the host reads it from a library that was made of `yaml`.
cnspec::Result<Manifest> through_a_library(const TempDir& folder, std::string_view yaml,
                                           std::vector<std::string> more = {}) {
  const RunResult made = compile(folder, yaml, std::move(more));
  EXPECT_EQ(made.err, "");
  const std::string library = folder / "x.so";
  const RunResult built = cnspec::test::run({"cc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror",
                                             "-shared", "-fPIC", folder / "out/manifest.c", "-o", library});
  EXPECT_EQ(built.err, "");
  const int fd = ::open(library.c_str(), O_RDONLY | O_CLOEXEC);
  auto section = read_elf_section(fd, std::filesystem::file_size(library), CNSPEC_MANIFEST_SECTION);
  ::close(fd);
  if (!section) return cnspec::fail(section.error());
  return read_manifest(*section);
}

TEST(CnspecManifest, CarriesEverythingIntoALibraryAndBack) {
  const TempDir folder;
  const auto m = through_a_library(folder, R"(
id: example.com/providers/full
name: full
summary: "Caf\u00e9 \"quoted\" \\ 100 %"
threads: many
open_schema: true
capabilities:
  network: ["*.example.com", "::1", "arg:2", "env:AWS_URL"]
  files: [/etc, ~/.x, "env:AWS_FILE"]
  env: [AWS_*]
  exec: [ps]
connectors:
  full:
    summary: A full one
    aliases: [all, every]
    usage: USER@HOST
    args: {min: 1, max: 2}
    hidden: true
    flags:
      port: {type: int, short: p, summary: Where, default: -1, hidden: true}
      tags: {type: list, summary: Which, default: "a,b"}
      password: {type: string, summary: Secret, secret: true, required: true}
      ask-pass: {type: bool, summary: Ask, asks_for: password, default: false}
resources:
  things: {doc: All of them, list: thing}
  thing:
    doc: |
      One of them,
      on two lines.
    defaults: [class]
    args:
      path: {type: string, doc: Where, required: true}
    fields:
      class: {type: int, doc: A keyword of C++}
      path: {type: string, doc: Where}
      parts: {type: "[]thing", doc: Of itself}
      extra: {type: "map[string][]dict", doc: The rest}
)",
                                   {"--version", "4.5.6-rc.1+7"});
  ASSERT_TRUE(m) << m.error().message();
  EXPECT_EQ(m->id, "example.com/providers/full");
  EXPECT_EQ(m->name, "full");
  EXPECT_EQ(m->version, "4.5.6-rc.1+7");
  EXPECT_EQ(m->summary, "Caf\u00e9 \"quoted\" \\ 100 %");
  EXPECT_TRUE(m->threads_many);
  EXPECT_TRUE(m->open_schema);
  EXPECT_EQ(m->capabilities.network,
            (std::vector<std::string>{"*.example.com", "::1", "arg:2", "env:AWS_URL"}));
  EXPECT_EQ(m->capabilities.files, (std::vector<std::string>{"/etc", "~/.x", "env:AWS_FILE"}));
  EXPECT_EQ(m->capabilities.env, std::vector<std::string>{"AWS_*"});
  EXPECT_EQ(m->capabilities.exec, std::vector<std::string>{"ps"});
  ASSERT_EQ(m->connectors.size(), 1u);
  const auto& c = m->connectors[0];
  EXPECT_EQ(c.summary, "A full one");
  EXPECT_EQ(c.aliases, (std::vector<std::string>{"all", "every"}));
  EXPECT_EQ(c.usage, "USER@HOST");
  EXPECT_EQ(c.min_args, 1);
  EXPECT_EQ(c.max_args, 2);
  EXPECT_TRUE(c.hidden);
  ASSERT_EQ(c.flags.size(), 4u);
  EXPECT_EQ(c.flags[0].short_name, "p");
  EXPECT_EQ(c.flags[0].type, "int");
  EXPECT_EQ(c.flags[0].default_value, "-1");
  EXPECT_TRUE(c.flags[0].hidden);
  EXPECT_EQ(c.flags[1].default_value, "a,b");
  EXPECT_TRUE(c.flags[2].secret);
  EXPECT_TRUE(c.flags[2].required);
  EXPECT_EQ(c.flags[3].asks_for, "password");
  ASSERT_EQ(m->resources.size(), 2u);
  EXPECT_EQ(m->resources[0].list, "thing");
  const auto& r = m->resources[1];
  EXPECT_EQ(r.doc, "One of them,\non two lines.\n");
  EXPECT_EQ(r.defaults, std::vector<std::string>{"class"});
  ASSERT_EQ(r.args.size(), 1u);
  EXPECT_TRUE(r.args[0].required);
  ASSERT_EQ(r.fields.size(), 4u);
  EXPECT_EQ(r.fields[3].type, "map[string][]dict");
  EXPECT_EQ(m->connector("every"), &c);
}

TEST(CnspecManifest, GivesNamesThatCompileAsCAndAsCpp) {
  const TempDir folder;
  const RunResult made =
      compile(folder, with("connectors:\n  x:\n    summary: X\n    flags:\n"
                           "      end-point: {type: string, summary: X}\n"
                           "resources:\n  namespace.x:\n    doc: X\n    args:\n"
                           "      both: {type: int, doc: X}\n    fields:\n"
                           "      both: {type: int, doc: X}\n      class: {type: int, doc: X}\n"
                           "      kType: {type: int, doc: X}\n      mutable: {type: int, doc: X}\n"));
  ASSERT_EQ(made.err, "");
  const std::string include = std::string(CNSPEC_SOURCE_DIR) + "/sdk/include";
  folder.write(
      "x.c",
      "#include <cnspec/provider.h>\n#include \"manifest.h\"\n"
      "extern cnspec_str x(void);\ncnspec_str x(void) { cnspec_str m = CNSPEC_MANIFEST; return m; }\n");
  folder.write("x.cpp",
               "#include <cnspec/provider.h>\n#include <string_view>\n#include \"manifest.h\"\n"
               "static_assert(std::string_view(resources::namespace_x::class_) == \"class\");\n"
               "static_assert(std::string_view(flags::end_point) == \"end-point\");\n"
               "cnspec_str x();\ncnspec_str x() { return CNSPEC_MANIFEST; }\n");
  const auto check = [&](const char* compiler, const char* standard, const char* source) {
    const RunResult result =
        cnspec::test::run({compiler, standard, "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only",
                           "-I", include, "-I", folder / "out", folder / source});
    EXPECT_EQ(result.err, "");
  };
  check("cc", "-std=c99", "x.c");
  check("cc", "-std=c11", "x.c");
  check("c++", "-std=c++20", "x.cpp");
}

// ---- Sections that no author made ----

std::string section(std::string_view json, std::uint32_t format = 1, int size_off_by = 0) {
  cnspec_manifest_header header{};
  std::memcpy(header.magic, CNSPEC_MANIFEST_MAGIC, sizeof header.magic);
  header.format = format;
  header.size = static_cast<std::uint32_t>(static_cast<int>(json.size()) + size_off_by);
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) + std::string(json);
}

std::string refusal(std::string_view bytes) {
  const auto manifest = read_manifest(bytes);
  return manifest ? "" : manifest.error().message();
}

TEST(HostileManifest, IsRefusedWithAReason) {
  EXPECT_EQ(refusal(""), "manifest: expected at least 16 bytes, found 0");
  EXPECT_EQ(refusal("CNSPECMF"), "manifest: expected at least 16 bytes, found 8");
  EXPECT_EQ(
      refusal(std::string(16, '\x1b')),
      "manifest: expected it to begin with CNSPECMF, found \"\\x1b\\x1b\\x1b\\x1b\\x1b\\x1b\\x1b\\x1b\"");
  EXPECT_EQ(refusal(section("{}", 2)), "manifest: expected format 1, found 2; a newer cnspec may read it");
  EXPECT_EQ(refusal(section("{}", 1, 1)), "manifest: expected 3 bytes of JSON, found 2");
  EXPECT_EQ(refusal(section("{}", 1, -1)), "manifest: expected 1 bytes of JSON, found 2");
  EXPECT_EQ(refusal(section("{")).substr(0, 37), "manifest: invalid JSON at byte 1: Mis");
  EXPECT_EQ(refusal(section("[]")), "manifest: expected a JSON object");
  EXPECT_EQ(refusal(section("{\"id\":1}")), "manifest: \"id\" is not text");
  EXPECT_EQ(refusal(section("{\"abi_minor\":1e9}")), "manifest: \"abi_minor\" is not a number");
  EXPECT_EQ(refusal(section("{\"connectors\":{}}")), "manifest: \"connectors\" is not a list of objects");
  EXPECT_EQ(refusal(section("{\"connectors\":[1]}")), "manifest: \"connectors\" is not a list of objects");
  EXPECT_EQ(refusal(section("{\"capabilities\":{\"network\":[1]}}")),
            "manifest: \"network\" is not a list of texts");
  EXPECT_EQ(refusal(section("{}")), "manifest: id must look like example.com/providers/coffee, found \"\"");
  EXPECT_EQ(refusal(section("{\"id\":\"a\\u001b[2J\"}")),
            "manifest: id must look like example.com/providers/coffee, found \"a\\x1b[2J\"");
  EXPECT_EQ(refusal(section("{\"id\":\"\xff\"}")).substr(0, 33), "manifest: invalid JSON at byte 7:");
  EXPECT_EQ(refusal(section(std::string(100, '['))),
            "manifest: invalid JSON at byte 64: nested deeper than 64 levels");
  const std::string good = R"("id":"a","name":"a","version":"1","os":"plan9","arch":"vax")";
  EXPECT_EQ(refusal(section("{" + good + R"(,"summary":"a\u0007b"})")),
            "manifest: summary must be one line of text");
  EXPECT_TRUE(refusal(section("{" + good + "}")).ends_with(", found plan9/vax"));
}

}  // namespace
