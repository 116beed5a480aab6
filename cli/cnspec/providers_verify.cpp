// cnspec providers verify: the report for authors, and the process that runs one check of it.
#include <fcntl.h>
#include <rapidjson/document.h>
#include <unistd.h>

#include <iostream>
#include <iterator>

#include "base/json.hpp"
#include "base/log.hpp"
#include "base/terminal.hpp"
#include "base/text.hpp"
#include "base/time.hpp"
#include "connectors.hpp"
#include "provider/verify.hpp"
#include "providers.hpp"
#include "runtime/runtime.hpp"
#include "terminal.hpp"

namespace cnspec::cli {
namespace {

using provider::Check;
using provider::Finding;
using provider::Found;
using provider::VerifyRequest;

constexpr std::chrono::seconds kCheckLimit{30};
constexpr std::chrono::hours kNoLimit{24};

struct Options {
  std::string target;
  std::string output = "text";
  std::string limit;
  std::string check;  // in a child: the one to run
  std::vector<std::string> rest;
};

std::chrono::milliseconds duration_of(const std::string& text, std::chrono::milliseconds otherwise) {
  const auto given = parse_duration(text);
  return given ? std::chrono::duration_cast<std::chrono::milliseconds>(*given) : otherwise;
}

// ---- The report ----

std::size_t number_of(const std::vector<Check>& checks, Check::Result result) {
  return static_cast<std::size_t>(
      std::ranges::count_if(checks, [&](const Check& check) { return check.result == result; }));
}

terminal::Marker marker_of(Check::Result result) {
  switch (result) {
    case Check::Result::kOk: return terminal::Marker::kInfo;
    case Check::Result::kFailed: return terminal::Marker::kError;
    default: return terminal::Marker::kWarning;
  }
}

std::string render_text(const std::string& provider, const std::vector<Check>& checks) {
  const auto style = terminal::style_of(STDOUT_FILENO);
  std::string out;
  const auto line = [&](Check::Result result, std::string name, const std::string& text) {
    name.resize(14, ' ');
    out += terminal::marked(marker_of(result), style) + " " + name + text + "\n";
  };
  for (auto at = checks.begin(); at != checks.end(); ++at) {
    const Check& check = *at;
    const std::string notes = check.notes.empty() ? "" : ": " + join(check.notes, "; ");
    if (check.result == Check::Result::kNotRun) {  // for one reason, often all that are left
      std::vector<std::string> names = {check.name};
      for (; at + 1 != checks.end() && (at + 1)->result == check.result && (at + 1)->notes == check.notes;
           ++at)
        names.push_back((at + 1)->name);
      line(check.result, to_string(check.result), join(names, ", ") + notes);
      continue;
    }
    line(check.result, check.name, to_string(check.result) + notes);
    for (const Finding& finding : check.findings) {
      out += std::string("    ") + (finding.fails ? "" : "warning: ") + finding.what + "\n";
      if (!finding.hint.empty()) out += "      " + finding.hint + "\n";
    }
  }
  const std::size_t failed = number_of(checks, Check::Result::kFailed);
  const auto marker = failed ? terminal::Marker::kError : terminal::Marker::kInfo;
  out += terminal::marked(marker, style) + " " + provider + ": ";
  std::vector<std::string> counts;
  for (const auto result :
       {Check::Result::kFailed, Check::Result::kWarning, Check::Result::kOk, Check::Result::kNotRun}) {
    const auto number = number_of(checks, result);
    if (number == 0) continue;
    const bool several = result == Check::Result::kWarning && number > 1;
    counts.push_back(std::to_string(number) + " " + to_string(result) + (several ? "s" : ""));
  }
  return out + join(counts, ", ") + "\n";
}

std::string render_json(const std::filesystem::path& file, const std::vector<Check>& checks) {
  json::Document out(rapidjson::kObjectType);
  auto& alloc = out.GetAllocator();
  out.AddMember("path", json_text(file.string(), alloc), alloc);
  out.AddMember("good", number_of(checks, Check::Result::kFailed) == 0, alloc);
  json::Value list(rapidjson::kArrayType);
  for (const Check& check : checks) {
    json::Value one(rapidjson::kObjectType);
    one.AddMember("check", json_text(check.name, alloc), alloc);
    one.AddMember("result", json_text(to_string(check.result), alloc), alloc);
    json::Value findings(rapidjson::kArrayType);
    for (const Finding& finding : check.findings) {
      json::Value f(rapidjson::kObjectType);
      f.AddMember("severity", json_text(finding.fails ? "failed" : "warning", alloc), alloc);
      f.AddMember("what", json_text(finding.what, alloc), alloc);
      if (!finding.hint.empty()) f.AddMember("hint", json_text(finding.hint, alloc), alloc);
      findings.PushBack(f, alloc);
    }
    json::Value notes(rapidjson::kArrayType);
    for (const std::string& note : check.notes) notes.PushBack(json_text(note, alloc), alloc);
    one.AddMember("findings", findings, alloc);
    one.AddMember("notes", notes, alloc);
    list.PushBack(one, alloc);
  }
  out.AddMember("checks", list, alloc);
  return json::write_pretty(out, 2) + "\n";
}

// ---- What is verified ----

// A path, or the name of an installed provider, which may be one that was refused.
VerifyRequest find(runtime::Runtime& runtime, const std::string& target) {
  if (target.find('/') != std::string::npos || target.ends_with(".so"))
    return {std::filesystem::absolute(target).lexically_normal(), provider::Origin::kFlag, {}};
  const provider::Inventory& inventory = runtime.providers();
  if (const Found* found = inventory.by_name(target)) return {found->path, found->origin, {}};
  for (const auto& refused : inventory.refused) {
    if (refused.path.stem() == target) return {refused.path, refused.origin, {}};
  }
  std::vector<std::string> known;
  for (const Found& found : inventory.active) known.push_back(found.manifest.name);
  std::string like = closest(target, known);
  // Without a slash it is a name, also of what is here.
  for (const std::string& file : {target, target + ".so"}) {
    std::error_code unseen;
    if (std::filesystem::exists(file, unseen)) like = "./" + quoted_if_needed(file);
  }
  exit_with(Error("there is no installed provider " + quoted_if_needed(target) +
                      (like.empty() ? "" : "; did you mean " + like + "?"),
                  ErrorKind::kUsage)
                .hint("name one of " + join(known, ", ") + ", or a file such as ./coffee.so"));
}

// The words behind the file, parsed against the connectors of this provider alone.
std::optional<provider::ConnectRequest> read_connector(const std::filesystem::path& file,
                                                       const std::vector<std::string>& words,
                                                       Globals& globals, Options& options) {
  if (words.empty()) return std::nullopt;
  auto found = provider::examine({}, file, provider::Origin::kFlag);
  provider::Inventory inventory;
  if (found) inventory.active.push_back(std::move(*found));
  const std::string name = found ? inventory.active.front().manifest.name : "PROVIDER";

  std::optional<provider::ConnectRequest> request;
  Command program("cnspec providers verify " + name, "Fetch everything from a system, and compare");
  program.kind = "connector";
  add_output(program, options.output, {"text", "json"});
  add_globals(program, globals);
  add_connectors(program, inventory, [&](provider::ConnectRequest r) { request = std::move(r); });
  const Parsed parsed = parse_or_exit(program, words, Strange::kKept);
  const auto& strange = parsed.strange;
  if (!strange.empty() && strange.front().starts_with('-'))
    exit_with(unexpected_words(*parsed.command, strange));
  if (!found) return std::nullopt;  // the report says why
  if (parsed.command != &program) {
    if (!strange.empty()) exit_with(unexpected_words(*parsed.command, strange));
    parsed.command->run();
    return request;
  }
  if (strange.empty()) return std::nullopt;
  std::vector<std::string> known;
  for (const auto& connector : inventory.active.front().manifest.connectors) known.push_back(connector.name);
  const std::string like = closest(strange.front(), known);
  exit_with(Error("the provider " + name + " has no connector " + quoted_if_needed(strange.front()) +
                      (like.empty() ? "" : "; did you mean " + like + "?"),
                  ErrorKind::kUsage)
                .hint("its connectors are: " + join(known, ", ")));
}

// This program again, with the same global options.
std::vector<std::string> child_command(const Globals& globals) {
  std::vector<std::string> out = {std::filesystem::read_symlink("/proc/self/exe").string()};
  const auto add = [&](const char* option, const std::string& value) {
    if (!value.empty()) out.insert(out.end(), {option, value});
  };
  add("--config", globals.config);
  add("--ca-file", globals.ca_file);
  add("--trust", globals.trust);
  if (globals.api_proxy) out.insert(out.end(), {"--api-proxy", *globals.api_proxy});
  out.insert(out.end(), {"providers", "verify", "--check"});
  return out;
}

// ---- The child ----

[[noreturn]] void run_child(const Globals& globals, const std::string& check) {
  if (auto kept = provider::keep_check(); !kept) exit_with(kept.error());
  // Out of the way of a provider that closes whatever comes after the standard streams.
  const int pipe = ::fcntl(3, F_DUPFD_CLOEXEC, 100);
  ::close(3);
  const std::string input((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
  const auto request = provider::read_verify_request(input);
  if (!request) exit_with(request.error());

  // No word of ours on the streams: what is on them comes from the provider.
  log::configure(log::Level::kError, false);
  runtime::Options options;
  options.config_path = globals.config;
  options.api_proxy = globals.api_proxy;
  options.ca_file = globals.ca_file;
  options.trust = globals.trust;
  options.timeout = kNoLimit;
  auto runtime = runtime::Runtime::create(std::move(options));
  if (!runtime) exit_with(runtime.error());
  auto work = [&](const provider::Limits&) -> Result<bool> {
    const provider::Surroundings surroundings{(*runtime)->search(), (*runtime)->isolation(),
                                              (*runtime)->services()};
    provider::run_check(check, *request, surroundings, pipe);
    return true;
  };
  (void)(*runtime)->run((*runtime)->offload<bool>(work, "the check"));
  (*runtime)->exit(kOk);
}

void run(Globals& globals, Options& options) {
  if (!options.check.empty()) run_child(globals, options.check);
  if (options.target.empty()) {
    exit_with(
        Error("which provider?", ErrorKind::kUsage)
            .hint(
                "name an installed one, or a file such as ./coffee.so; see: cnspec providers verify --help"));
  }

  const auto runtime = start(globals, kNoLimit);
  VerifyRequest request = find(*runtime, options.target);
  if (auto good = provider::look_at(request.file); !good) exit_with(good.error());
  request.target = read_connector(request.file, options.rest, globals, options);
  provider::VerifyOptions how;
  how.child = child_command(globals);
  how.limit = duration_of(options.limit, kCheckLimit);
  how.deadline = std::chrono::steady_clock::now() + duration_of(globals.timeout, kNoLimit);
  std::vector<Check> checks;
  {
    const Progress progress("checking");
    checks = provider::verify(request, how);
  }
  print(options.output == "json" ? render_json(request.file, checks)
                                 : render_text(printable(request.file.string()), checks));
  if (number_of(checks, Check::Result::kFailed) > 0) throw Exit{kFailed};
}

}  // namespace

void add_providers_verify(Command& providers, Globals& globals) {
  auto options = std::make_shared<Options>();
  Command& command = providers.command("verify", "Check a provider against every rule, for its author");
  command.details =
      "Each check runs in a process of its own. With a connector and its arguments, every resource is "
      "fetched as "
      "well, in-process and isolated, and compared. Ends with 0 when nothing failed, 1 when something did.";
  command.examples = {"cnspec providers verify ./coffee.so",
                      "cnspec providers verify coffee pot 192.0.2.1 --port 80"};
  add_output(command, options->output, {"text", "json"});
  command.option({.names = "--check-timeout",
                  .target = &options->limit,
                  .summary = "How long one check may take",
                  .value = "DURATION",
                  .check = check_duration,
                  .default_text = "30s"});
  command.option({.names = "--check", .target = &options->check, .hidden = true});
  command.option({.names = "PROVIDER",
                  .target = &options->target,
                  .summary = "A provider's file, or the name of one that is installed",
                  .offers = [&globals] { return installed_names(globals); }});
  // What may follow depends on the provider's connectors; it is parsed when that is known.
  command.rest = &options->rest;
  command.run = [&globals, options] { run(globals, *options); };
}

}  // namespace cnspec::cli
