// cnspec-platform: a local registration platform.
#include <fcntl.h>
#include <google/protobuf/stubs/common.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <optional>

#include "base/file.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "base/version.hpp"
#include "data_folder.hpp"
#include "faults.hpp"
#include "server.hpp"
#include "service.hpp"
#include "spaces.hpp"

namespace cnspec::platform {
namespace {

constexpr int kExitUsage = 2;

struct Arguments {
  std::optional<std::string> data;

  std::string listen = "127.0.0.1:8443";
  std::string clock_skew = "0";
  std::vector<std::string> delays;
  std::vector<std::string> failures;
  std::string request_timeout = "10s";
  std::size_t max_connections = 256;
  std::string latest_version = kVersion;
  bool access_log = false;
  std::optional<std::string> registry;

  std::string space;
  std::string expires = "1h";
  std::string description;
  std::string api_endpoint;

  std::string public_key;
  std::string issuer;
  std::string keys;
  std::string audience;
  std::string subject;

  std::string mrn;
  std::string output = "text";
};

Result<std::filesystem::path> data_path(const Arguments& arguments) {
  if (!arguments.data) return default_data_folder();
  if (arguments.data->empty()) return fail("--data names no folder", ErrorKind::kUsage);
  return std::filesystem::path(*arguments.data);
}

Result<DataFolder> make_data(const Arguments& arguments) {
  const auto path = data_path(arguments);
  return path ? DataFolder::create(*path) : fail(path.error());
}

Result<Store> open_store(const Arguments& arguments) {
  const auto path = data_path(arguments);
  if (!path) return fail(path.error());
  const auto folder = DataFolder::open(*path);
  return folder ? folder->store() : fail(folder.error());
}

Result<ServerOptions> server_options(const Arguments& arguments) {
  ServerOptions options;
  if (auto parsed = parse_listen(arguments.listen, options); !parsed) return fail(parsed.error());
  const auto timeout = parse_duration(arguments.request_timeout);
  if (!timeout) return fail(timeout.error());
  if (timeout->count() <= 0) return fail("--request-timeout must be longer than nothing", ErrorKind::kUsage);
  options.request_timeout = *timeout;
  options.max_connections = arguments.max_connections;
  options.access_log = arguments.access_log;
  if (arguments.registry) {
    auto registry = RegistryFolder::open(*arguments.registry);
    if (!registry) return fail(registry.error());
    options.registry = std::make_shared<const RegistryFolder>(std::move(*registry));
  }
  for (const std::string& delay : arguments.delays) {
    if (auto added = options.faults.add_delay(delay); !added) return fail(added.error());
  }
  for (const std::string& failure : arguments.failures) {
    if (auto added = options.faults.add_failure(failure); !added) return fail(added.error());
  }
  return options;
}

Result<void> serve(const Arguments& arguments) {
  auto options = server_options(arguments);
  if (!options) return fail(options.error());
  const auto skew = parse_duration(arguments.clock_skew);
  if (!skew) return fail(skew.error());

  const auto folder = make_data(arguments);
  if (!folder) return fail(folder.error());
  const auto lock = folder->lock_for_serving();
  if (!lock) return fail(lock.error());
  auto authority = folder->authority();
  if (!authority) return fail(authority.error());
  auto token_key = folder->token_key();
  if (!token_key) return fail(token_key.error());
  auto store = folder->store();
  if (!store) return fail(store.error());
  auto server = Server::listen(std::move(*options), *authority);
  if (!server) return fail(server.error());
  if (auto saved = store->set_endpoint(server->url()); !saved) return saved;

  Service service(std::move(*store), std::move(*authority), std::move(*token_key),
                  {server->url(), *skew, arguments.latest_version});
  server->run(service, [&] {
    log::info("for development, tests and air-gapped labs; this is no production service");
    std::cout << "url: " << server->url() << "\nca: " << folder->ca_file().string() << std::endl;
  });
  return {};
}

// It goes into what clients are given, who would be the first to notice.
Result<void> check_endpoint(const Arguments& arguments) {
  const std::string& url = arguments.api_endpoint;
  if (url.empty() || (is_utf8(url) && (url.starts_with("https://") || url.starts_with("http://")))) return {};
  return fail("--api-endpoint must begin with https:// or http://, found " + quoted_if_needed(url),
              ErrorKind::kUsage);
}

Result<void> create(const Arguments& arguments) {
  TokenRequest request;
  auto space = parse_space(arguments.space);
  if (!space) return fail(space.error());
  request.space = std::move(*space);
  const auto lifetime = parse_duration(arguments.expires);
  if (!lifetime) return fail(lifetime.error());
  request.lifetime = std::chrono::floor<std::chrono::seconds>(*lifetime);
  if (!is_utf8(arguments.description)) return fail("--description is not UTF-8", ErrorKind::kUsage);
  request.description = arguments.description;
  if (auto good = check_endpoint(arguments); !good) return good;
  request.endpoint = arguments.api_endpoint;

  const auto folder = make_data(arguments);
  if (!folder) return fail(folder.error());
  const auto key = folder->token_key();
  if (!key) return fail(key.error());
  auto store = folder->store();
  if (!store) return fail(store.error());
  if (request.endpoint.empty()) {
    auto endpoint = store->endpoint();
    if (!endpoint) return fail(endpoint.error());
    request.endpoint = std::move(*endpoint);
  }
  const auto token = create_token(*store, *key, request);
  if (!token) return fail(token.error());
  std::cout << *token << std::endl;
  return {};
}

// What the commands that make a keyless account begin with.
struct Keyless {
  Store store;
  ServiceAccount account;
  std::string endpoint;
};

Result<Keyless> begin_keyless(const Arguments& arguments) {
  auto space = parse_space(arguments.space);
  if (!space) return fail(space.error());
  if (auto good = check_endpoint(arguments); !good) return fail(good.error());
  const auto folder = make_data(arguments);
  if (!folder) return fail(folder.error());
  auto store = folder->store();
  if (!store) return fail(store.error());
  auto account = keyless_account(*space);
  if (!account) return fail(account.error());
  auto endpoint = store->endpoint();
  if (!endpoint) return fail(endpoint.error());
  if (!arguments.api_endpoint.empty()) endpoint = arguments.api_endpoint;
  return Keyless{std::move(*store), std::move(*account), std::move(*endpoint)};
}

// Both print the configuration that clients need.

Result<void> add_ssh_key(const Arguments& arguments) {
  const auto text = read_small_file(arguments.public_key);
  if (!text) return fail(text.error());
  const auto keys = read_ssh_keys(*text);
  if (!keys) return fail(arguments.public_key + ": " + keys.error().message());
  auto made = begin_keyless(arguments);
  if (!made) return fail(made.error());
  if (auto added = made->store.add_ssh_account(made->account, *keys); !added) return added;
  std::cout << "mrn: " << made->account.mrn << "\nscope_mrn: " << space_mrn(made->account.space) << "\n";
  if (!made->endpoint.empty()) std::cout << "api_endpoint: " << made->endpoint << "\n";
  std::cout << "auth:\n  method: ssh" << std::endl;
  return {};
}

Result<void> add_issuer(const Arguments& arguments) {
  if (arguments.issuer.empty()) return fail("--issuer names nobody", ErrorKind::kUsage);
  if (arguments.audience.empty()) return fail("--audience names nobody", ErrorKind::kUsage);
  const auto text = read_small_file(arguments.keys);
  if (!text) return fail(text.error());
  const auto keys = read_issuer_keys(*text);
  if (!keys) return fail(arguments.keys + ": " + keys.error().message());
  auto made = begin_keyless(arguments);
  if (!made) return fail(made.error());
  const Issuer issuer{made->account.mrn, arguments.issuer, arguments.audience, arguments.subject};
  if (auto added = made->store.add_issuer_account(made->account, issuer, *keys); !added) return added;
  json::Document document(rapidjson::kObjectType);
  auto& allocator = document.GetAllocator();
  const auto put = [&](const char* name, const std::string& value) {
    if (value.empty()) return;
    document.AddMember(rapidjson::StringRef(name), json::text(value, allocator), allocator);
  };
  put("type", "external_account");
  put("audience", issuer.audience);
  put("issuerUri", issuer.uri);
  put("subjectTokenType", "urn:ietf:params:oauth:token-type:jwt");
  put("universeDomain", made->endpoint);
  std::cout << json::write_pretty(document, 2) << std::endl;
  return {};
}

Result<void> revoke(const Arguments& arguments) {
  auto store = open_store(arguments);
  if (!store) return fail(store.error());
  const auto revoked = store->revoke(arguments.mrn, now());
  if (!revoked) return fail(revoked.error());
  if (!*revoked)
    return fail("there is nothing called " + quoted_if_needed(arguments.mrn) + ", or it was revoked before",
                ErrorKind::kNotFound);
  return {};
}

// One line each in text; in JSON an object with three lists.
Result<void> list(const Arguments& arguments) {
  std::string space;
  if (!arguments.space.empty()) {
    auto parsed = parse_space(arguments.space);
    if (!parsed) return fail(parsed.error());
    space = std::move(*parsed);
  }
  auto store = open_store(arguments);
  if (!store) return fail(store.error());
  const auto tokens = store->tokens(space);
  if (!tokens) return fail(tokens.error());
  const auto accounts = store->service_accounts(space);
  if (!accounts) return fail(accounts.error());
  const auto agents = store->agents(space);
  if (!agents) return fail(agents.error());

  json::Document document(rapidjson::kObjectType);
  auto& allocator = document.GetAllocator();
  using Fields = std::vector<std::pair<const char*, std::string>>;
  std::string text;
  const auto add = [&](json::Value& to, const char* kind, const Fields& fields) {
    json::Value object(rapidjson::kObjectType);
    std::vector<std::string> words = {kind};
    for (const auto& [name, value] : fields) {
      if (value.empty()) continue;
      words.push_back(printable(value));
      object.AddMember(rapidjson::StringRef(name), json::text(value, allocator), allocator);
    }
    text += join(words, "\t") + "\n";
    to.PushBack(object, allocator);
  };
  json::Value token_list(rapidjson::kArrayType), account_list(rapidjson::kArrayType),
      agent_list(rapidjson::kArrayType);
  for (const Token& t : *tokens) {
    const char* state = t.revoked ? "revoked" : t.expires <= now() ? "expired" : "valid";
    add(token_list, "token", {{"mrn", t.mrn}, {"state", state}, {"description", t.description}});
  }
  for (const ServiceAccount& a : *accounts) {
    add(account_list, "service account", {{"mrn", a.mrn}, {"state", a.revoked ? "revoked" : "valid"}});
  }
  for (const Agent& a : *agents) {
    add(agent_list, "agent",
        {{"mrn", a.mrn},
         {"service_account", a.service_account},
         {"name", a.name},
         {"version", a.version},
         {"platform", a.platform},
         {"hostname", a.hostname},
         {"ip", a.ip}});
  }
  document.AddMember("tokens", token_list, allocator);
  document.AddMember("service_accounts", account_list, allocator);
  document.AddMember("agents", agent_list, allocator);
  std::cout << (arguments.output == "json" ? json::write_pretty(document, 2) + "\n" : text) << std::flush;
  return {};
}

template <class T>
CLI::Option* add(CLI::App& command, const char* name, T& target, const char* type, const char* help) {
  return command.add_option(name, target, help)->type_name(type)->capture_default_str();
}

void add_many(CLI::App& command, const char* name, std::vector<std::string>& target, const char* type,
              const char* help) {
  command.add_option(name, target, help)->type_name(type)->expected(1)->take_all()->allow_extra_args(false);
}

void add_data(CLI::App& command, Arguments& arguments) {
  command
      .add_option("--data", arguments.data,
                  "Folder of the platform's data (default: ~/.local/share/cnspec-platform)")
      ->type_name("DIR");
}

int report(const Result<void>& result) {
  if (result) return 0;
  const Error& error = result.error();
  log::error(error.message() + (error.hint().empty() ? "" : " (" + error.hint() + ")"));
  return error.kind() == ErrorKind::kUsage ? kExitUsage : 1;
}

// What CLI11 found wrong; of words it did not expect, which one may be meant.
Error said(const CLI::App& app, const CLI::ParseError& error) {
  const auto extra = app.remaining(true);
  if (extra.empty()) return Error(error.what(), ErrorKind::kUsage);
  const CLI::App* command = &app;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  std::vector<std::string> known;
  for (const CLI::App* each : command->get_subcommands([](const CLI::App*) { return true; }))
    known.push_back(each->get_name());
  for (const CLI::Option* each : command->get_options()) known.push_back(each->get_name());
  const std::string near = closest(extra.front(), known);
  Error unexpected("unexpected argument " + quoted_if_needed(extra.front()), ErrorKind::kUsage);
  return std::move(unexpected)
      .hint(near.empty() ? "--help says what there is" : "did you mean " + near + "?");
}

int run(int argc, char** argv) {
  CLI::App app(
      "cnspec-platform: a local registration platform for cnspec.\n"
      "For development, tests and air-gapped labs; it is no production service.",
      "cnspec-platform");
  app.set_version_flag("--version", std::string("cnspec-platform ") + kVersion + " (" + kBuild + ")");
  Arguments arguments;

  CLI::App& serving = *app.add_subcommand("serve", "Serve registrations over HTTPS until SIGTERM or SIGINT");
  add(serving, "--listen", arguments.listen, "HOST:PORT", "Where to listen; port 0 takes any free one");
  add_data(serving, arguments);
  serving.add_flag("--access-log", arguments.access_log, "Write a line about each request to standard error");
  add(serving, "--latest-version", arguments.latest_version, "VERSION", "Announced in every latest.json");
  serving
      .add_option("--registry", arguments.registry,
                  "Folder served below /providers/, such as `cnspec providers mirror` makes it")
      ->type_name("DIR");
  add(serving, "--request-timeout", arguments.request_timeout, "DURATION", "Time for a request to arrive");
  add(serving, "--max-connections", arguments.max_connections, "N", "Connections held at a time")
      ->check(CLI::Range(1, 100000).description(""));
  add(serving, "--clock-skew", arguments.clock_skew, "DURATION",
      "Shift the time that Health/Check reports, such as 72h or -10m; requests are still verified against "
      "the "
      "real time");
  add_many(serving, "--delay", arguments.delays, "METHOD=DURATION", "Answer late, such as Health/Check=2s");
  add_many(
      serving, "--fail", arguments.failures, "METHOD=CODE",
      "Fail, such as AgentManager/PingPong=Unavailable; CODE may also be html, garbage or hangup, METHOD may "
      "be latest.json or *");

  CLI::App& token = *app.add_subcommand("token", "Registration tokens");
  CLI::App& creating = *token.add_subcommand("create", "Print a new registration token");
  add(creating, "--space", arguments.space, "SPACE", "The space it registers into")->required();
  add(creating, "--expires", arguments.expires, "DURATION", "How long it is valid");
  add(creating, "--description", arguments.description, "TEXT", "What it is for");
  add(creating, "--api-endpoint", arguments.api_endpoint, "URL",
      "The platform's URL in the token (default: where this folder was last served)");
  add_data(creating, arguments);

  CLI::App& ssh_key = *app.add_subcommand("ssh-key", "SSH keys that open a service account");
  CLI::App& adding_ssh_key = *ssh_key.add_subcommand("add", "Make a service account that these keys open");
  adding_ssh_key.footer("Prints the configuration for clients, whose SSH agent must hold one of the keys.");
  add(adding_ssh_key, "--space", arguments.space, "SPACE", "The space of the account")->required();
  add(adding_ssh_key, "--public-key", arguments.public_key, "FILE", "A .pub or authorized_keys file")
      ->required();
  add(adding_ssh_key, "--api-endpoint", arguments.api_endpoint, "URL",
      "The platform's URL for clients (default: where this folder was last served)");
  add_data(adding_ssh_key, arguments);

  CLI::App& issuer = *app.add_subcommand("issuer", "Issuers whose tokens open a service account");
  CLI::App& adding_issuer =
      *issuer.add_subcommand("add", "Make a service account that an issuer's tokens open");
  adding_issuer.footer(
      "Prints the configuration for clients, which need a token. Where others than you can get tokens of "
      "the\n"
      "issuer for the audience, as on public clouds, name the subject.");
  add(adding_issuer, "--space", arguments.space, "SPACE", "The space of the account")->required();
  add(adding_issuer, "--issuer", arguments.issuer, "URI", "As the tokens' iss has it")->required();
  add(adding_issuer, "--keys", arguments.keys, "FILE", "The issuer's public keys: a JWKS, or PEM")
      ->required();
  add(adding_issuer, "--audience", arguments.audience, "AUDIENCE", "That the tokens must be for")->required();
  add(adding_issuer, "--subject", arguments.subject, "SUBJECT",
      "That the tokens must be of; with * at its end, what begins so (default: any)");
  add(adding_issuer, "--api-endpoint", arguments.api_endpoint, "URL",
      "The platform's URL for clients (default: where this folder was last served)");
  add_data(adding_issuer, arguments);

  CLI::App& revoking = *app.add_subcommand("revoke", "Revoke a token, a service account or an agent");
  revoking.footer("With its last agent a service account is revoked, too.");
  add(revoking, "MRN", arguments.mrn, "", "As `list` shows it")->required();
  add_data(revoking, arguments);

  CLI::App& listing = *app.add_subcommand("list", "List tokens, service accounts and agents");
  add(listing, "--space", arguments.space, "SPACE", "Of this space alone");
  add(listing, "-o,--output", arguments.output, "FORMAT", "text or json")
      ->check(CLI::IsMember({"text", "json"}).description(""));
  add_data(listing, arguments);

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {  // --help and --version
    return app.exit(wanted);
  } catch (const CLI::ParseError& error) {
    return report(fail(said(app, error)));
  }
  if (serving.parsed()) return report(serve(arguments));
  if (creating.parsed()) return report(create(arguments));
  if (adding_ssh_key.parsed()) return report(add_ssh_key(arguments));
  if (adding_issuer.parsed()) return report(add_issuer(arguments));
  if (revoking.parsed()) return report(revoke(arguments));
  if (listing.parsed()) return report(list(arguments));
  const char* commands = token.parsed()     ? "token create"
                         : ssh_key.parsed() ? "ssh-key add"
                         : issuer.parsed()  ? "issuer add"
                                            : "serve, token create, ssh-key add, issuer add, revoke, list";
  return report(fail(std::string("there is no command; the commands are: ") + commands, ErrorKind::kUsage));
}

}  // namespace
}  // namespace cnspec::platform

int main(int argc, char** argv) {
  ::umask(0077);  // keys and database are the owner's alone
  // A file of ours that is standard error would get what is logged; standard output must not seem to work.
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) < 0) ::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
  }
  std::signal(SIGPIPE, SIG_IGN);  // a reader of our output may leave
  std::signal(SIGXFSZ, SIG_IGN);  // a limit of file sizes is an error of write, as a full disk is
  // It would write on standard error what it thinks of what clients send. They are told; whatever else goes
  // wrong inside it is thrown.
  google::protobuf::SetLogHandler(nullptr);
  cnspec::log::configure(cnspec::log::Level::kInfo, false);
  try {
    const int code = cnspec::platform::run(argc, argv);
    if (code != 0 || std::cout.flush()) return code;
    cnspec::log::error("cannot write to standard output");
    return 1;
  } catch (const std::exception& error) {
    cnspec::log::error(error.what());
    return 1;
  }
}
