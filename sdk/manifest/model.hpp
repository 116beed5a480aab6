// A provider's manifest as values, and the rules that hold for it wherever it comes from: from an author's
// provider.yaml (cnspec-manifest) or from the section of a library (the host).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cnspec::manifest {

struct Flag {
  std::string name;        // long, without dashes
  std::string short_name;  // one letter, or empty
  std::string type;        // bool, int, string, list or map
  std::string summary;
  std::string default_value;  // as text; a list as a,b and a map as k=v,k=v
  std::string asks_for;       // a bool flag that makes the program ask for that secret flag on the terminal
  bool secret = false;
  bool required = false;
  bool hidden = false;
  int line = 0;  // in provider.yaml; 0 when it came from elsewhere
};

struct Connector {
  std::string name;
  std::vector<std::string> aliases;
  std::string summary;
  std::string usage;  // how its arguments are written, such as "user@host"
  int min_args = 0;
  int max_args = 0;
  bool hidden = false;
  std::vector<Flag> flags;
  int line = 0;
};

struct Field {
  std::string name;
  std::string type;  // int, []string, map[string]dict, or a resource's name
  std::string doc;
  bool required = false;  // of an argument
  int line = 0;
};

struct Resource {
  std::string name;
  std::string doc;
  std::string list;                   // a list resource: what its rows are; then it has no fields
  std::vector<std::string> defaults;  // the fields that stand for it when none is named
  std::vector<Field> args;
  std::vector<Field> fields;
  int line = 0;
};

// What a provider may do; all else is kept from it when it runs isolated, and its requests go nowhere else in
// any case.
struct Capabilities {
  // Hosts that it sends HTTP requests to. "*.example.com" and "*" are patterns; "flag:NAME" is the host in a
  // connector's flag, "arg:N" that in its N-th argument, "env:NAME" that in a variable that it reads: a URL,
  // or [USER@]HOST[:PORT].
  std::vector<std::string> network;
  // Folders and files that it reads: absolute, or below the user's home as ~/FOLDER, or those that a variable
  // names as env:NAME.
  std::vector<std::string> files;
  std::vector<std::string> env;   // variables it reads; a trailing "*" is a pattern
  std::vector<std::string> exec;  // programs it runs: absolute paths, or names found in the system's folders
};

struct Manifest {
  std::string id;  // globally unique, such as example.com/providers/coffee
  std::string name;
  std::string version;
  std::string summary;
  std::string os;    // that of the library: linux, darwin, windows
  std::string arch;  // amd64, arm64, ...
  int abi_minor = 0;
  bool threads_many = false;
  bool open_schema = false;  // its resources come from data, such as a recording
  Capabilities capabilities;
  std::vector<Connector> connectors;
  std::vector<Resource> resources;
  std::map<std::string, int> lines;  // of the top-level keys in provider.yaml

  const Resource* resource(std::string_view name) const;
  // By name or alias.
  const Connector* connector(std::string_view name) const;
};

struct Problem {
  int line;
  std::string message;
};

// The first rule that the manifest breaks.
std::optional<Problem> check(const Manifest& manifest);

std::string to_json(const Manifest& manifest);  // compact, ASCII

}  // namespace cnspec::manifest
