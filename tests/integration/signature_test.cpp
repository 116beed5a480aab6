// Providers that the tool minisign signed: what is believed, what is refused and in which words, and that
// what was verified is what is loaded.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <thread>

#include "auth/crypto.hpp"
#include "base/encoding.hpp"
#include "provider/discovery.hpp"
#include "provider/install.hpp"
#include "provider/load.hpp"
#include "provider/provider.hpp"
#include "support/cnspec.hpp"
#include "support/killed.hpp"

namespace cnspec::test {
namespace {

namespace fs = std::filesystem;
using namespace cnspec::provider;

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, text.npos) << from;
  return at == text.npos ? text : text.replace(at, from.size(), to);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

// A pair of keys, made and used by the real tool.
class Keys {
 public:
  Keys() {
    run_tool({"-G", "-f", "-W", "-p", (folder_ / "pub").string(), "-s", (folder_ / "sec").string()});
    const auto lines = lines_of(read_file(folder_ / "pub"));
    line = lines.at(1);
    id = lines.at(0).substr(lines.at(0).rfind(' ') + 1);
    id.insert(0, 16 - id.size(), '0');
  }

  // The text of the signature.
  std::string sign(const fs::path& file, Argv more = {"-t", "a comment"}) const {
    Argv args = {"-S", "-s", (folder_ / "sec").string(), "-m", file.string(), "-x", (folder_ / "x").string()};
    args.insert(args.end(), more.begin(), more.end());
    run_tool(args);
    return read_file(folder_ / "x");
  }

  std::string line;  // the public key
  std::string id;    // as the tool shows it, which leaves out leading zeros

 private:
  static void run_tool(Argv args) {
    args.insert(args.begin(), "minisign");
    const RunResult result = run(args);
    ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
  }
  TempDir folder_;
};

// Made once: it takes a while where randomness does.
const Keys& ours() {
  static const Keys keys;
  return keys;
}
const Keys& strangers() {
  static const Keys keys;
  return keys;
}

std::string library() { return read_file(EXAMPLE_PROVIDER); }

// ---- the reader ----

Result<void> verified(const std::string& signature, const std::string& contents, const std::string& key) {
  auto read_key = read_minisign_key(key);
  if (!read_key) return fail(read_key.error());
  auto read = read_minisign_signature(signature);
  if (!read) return fail(read.error());
  return verify_minisign(*read, {*read_key}, contents, auth::openssl());
}

std::string why_not(const Result<void>& result) { return result ? "verified" : result.error().message(); }

class Minisign : public testing::Test {
 protected:
  // As the tool signs them.
  std::string sign(const std::string& contents, Argv more = {"-t", "a comment"}) {
    return ours().sign(folder_.write("file", contents), std::move(more));
  }
  TempDir folder_;
};

TEST_F(Minisign, VerifiesWhatTheToolSigned) {
  const std::string large(3'000'000, 'x');
  for (const std::string& contents :
       {std::string(), std::string("one\n"), std::string("\0\xff\r\n", 4), large}) {
    for (const Argv& more :
         {Argv{}, Argv{"-l"}, Argv{"-t", ""}, Argv{"-t", "späte Grüße"}, Argv{"-l", "-t", "x"},
          Argv{"-c", "said by nobody", "-t", std::string(500, 'c')}}) {
      EXPECT_EQ(why_not(verified(sign(contents, more), contents, ours().line)), "verified");
    }
  }
  const auto legacy = read_minisign_signature(sign("x", {"-l"}));
  ASSERT_TRUE(legacy);
  EXPECT_FALSE(legacy->prehashed);
  const auto usual = read_minisign_signature(sign("x"));
  ASSERT_TRUE(usual);
  EXPECT_TRUE(usual->prehashed);
  EXPECT_EQ(usual->trusted_comment, "a comment");
  EXPECT_EQ(key_id_text(usual->id), ours().id);
}

TEST_F(Minisign, ReadsWhatTheToolReads) {
  const std::string text = sign("x");
  std::string windows;
  for (const std::string& line : lines_of(text)) windows += line + "\r\n";
  EXPECT_EQ(why_not(verified(windows, "x", ours().line)), "verified");
  EXPECT_EQ(why_not(verified(text.substr(0, text.size() - 1), "x", ours().line)), "verified");
  EXPECT_EQ(why_not(verified(text + "\n", "x", ours().line)), "verified");
  EXPECT_EQ(why_not(verified(replaced(text, "signature from", "anything about"), "x", ours().line)),
            "verified");
}

TEST_F(Minisign, SaysWhatIsWrongWithASignature) {
  const std::string text = sign("contents");
  const auto lines = lines_of(text);
  const auto with = [&](std::size_t number, const std::string& line) {
    return replaced(text, lines[number] + "\n", line + "\n");
  };
  const std::string other = lines_of(sign("others"))[1];
  std::string other_algorithm = lines[1];
  other_algorithm[1] = 'V';
  std::string loose = lines[3];  // the same bytes, were its last bits not looked at
  loose[85] = static_cast<char>(loose[85] + 1);
  const std::string id = "key ID " + ours().id;
  const struct {
    std::string text, said;
  } rows[] = {
      {with(1, other), "it is not what " + id + " signed"},
      {with(2, "trusted comment: another"), "its trusted comment is not the one that " + id + " signed"},
      {with(2, lines[2] + " "), "its trusted comment is not the one that " + id + " signed"},
      {with(3, lines_of(sign("contents", {"-t", "other"}))[3]),
       "its trusted comment is not the one that " + id + " signed"},
      {strangers().sign(folder_ / "file"),
       "signed by key ID " + strangers().id + ", expected one of those that are trusted: " + id},
      {"", "a signature of minisign has 4 lines, found none"},
      {"\n", "a signature of minisign has 4 lines, found 1"},
      {lines[0] + "\n" + lines[1] + "\n", "a signature of minisign has 4 lines, found 2"},
      {text + lines[3] + "\n", "a signature of minisign has 4 lines, found more"},
      {text + text, "a signature of minisign has 4 lines, found more"},
      {text.substr(0, text.size() - 9), "line 4, the comment's signature, has 80 characters, expected 88"},
      {with(0, lines[1]), "line 1 of a signature of minisign begins with \"untrusted comment: \""},
      {with(1, lines[1] + "="), "line 2, the signature, has 101 characters, expected 100"},
      {with(1, lines[1].substr(0, 40)), "line 2, the signature, has 40 characters, expected 100"},
      {with(1, " " + lines[1].substr(1)), "line 2, the signature, is not base64"},
      {with(1, lines[1].substr(0, 99) + "!"), "line 2, the signature, is not base64"},
      {with(1, lines[1].substr(0, 98) + "=="), "line 2, the signature, is not base64"},
      {with(1, other_algorithm), "line 2, the signature, is of an unknown algorithm, expected ED or Ed"},
      {with(2, "comment: x"), "line 3 of a signature of minisign begins with \"trusted comment: \""},
      {with(3, std::string(88, 'A')), "line 4, the comment's signature, is not base64"},
      {with(3, loose), "line 4, the comment's signature, is not base64"},
      {text + std::string(20000, '\n'), "a signature of minisign has at most 16384 bytes, found more"},
      {std::string("\x7f"
                   "ELF\0\0",
                   6),
       "a signature of minisign is text, found something else"},
  };
  for (const auto& row : rows) EXPECT_EQ(why_not(verified(row.text, "contents", ours().line)), row.said);
  EXPECT_EQ(why_not(verified(text, "content", ours().line)), "it is not what " + id + " signed");
  // What was signed as it is does not pass for what was hashed first, nor the reverse.
  std::string retold = lines_of(sign("contents", {"-l"}))[1];
  retold = base64_encode("ED" + base64_decode(retold)->substr(2));
  EXPECT_EQ(why_not(verified(with(1, retold), "contents", ours().line)), "it is not what " + id + " signed");
}

TEST_F(Minisign, SaysWhatIsWrongWithAKey) {
  const auto said = [](const std::string& text) {
    const auto key = read_minisign_key(text);
    EXPECT_TRUE(key || key.error().kind() == ErrorKind::kConfig);
    return key ? "fine" : key.error().message();
  };
  const std::string& line = ours().line;
  EXPECT_EQ(said(line), "fine");
  EXPECT_EQ(said(""), "no public key of minisign: it has 0 characters, expected 56");
  EXPECT_EQ(said("/etc/minisign.pub"), "no public key of minisign: it has 17 characters, expected 56");
  EXPECT_EQ(said(line + "\n"), "no public key of minisign: it has 57 characters, expected 56");
  EXPECT_EQ(said(line.substr(0, 55) + "!"), "no public key of minisign: it is not base64");
  EXPECT_EQ(said(line.substr(0, 55) + "="), "no public key of minisign: it is not base64");
  EXPECT_EQ(said("RU" + line.substr(2)), "no public key of minisign: it is not of Ed25519");
}

TEST_F(Minisign, TriesEveryKeyOfAnId) {
  // Ids are chosen, so a stranger may have taken ours.
  const std::string mine = *base64_decode(ours().line), theirs = *base64_decode(strangers().line);
  const auto impostor = read_minisign_key(base64_encode(mine.substr(0, 10) + theirs.substr(10)));
  const auto key = read_minisign_key(ours().line);
  ASSERT_TRUE(impostor && key);
  const auto signature = read_minisign_signature(sign("x"));
  ASSERT_TRUE(signature);
  EXPECT_EQ(why_not(verify_minisign(*signature, {*impostor, *key}, "x", auth::openssl())), "verified");
  EXPECT_EQ(why_not(verify_minisign(*signature, {*impostor}, "x", auth::openssl())),
            "it is not what key ID " + ours().id + " signed");
  EXPECT_EQ(why_not(verify_minisign(*signature, {}, "x", auth::openssl())),
            "signed by key ID " + ours().id + ", expected one of those that are trusted: none");
}

TEST(Crypto, HashesAsTheRestOfTheWorldDoes) {
  const auto hash = [](HashKind kind, const std::vector<std::string>& pieces) {
    const auto made = auth::openssl().make_hash(kind);
    for (const std::string& piece : pieces) made->update(piece);
    return hex_encode(made->finish());
  };
  EXPECT_EQ(hash(HashKind::kSha256, {"a", "", "bc"}),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hash(HashKind::kBlake2b512, {"abc"}),
            "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
            "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923");
  const auto used = auth::openssl().make_hash(HashKind::kSha256);
  EXPECT_EQ(used->finish().size(), 32u);
  EXPECT_EQ(used->finish(), "");
  EXPECT_FALSE(auth::openssl().verify_ed25519("short", "", std::string(64, 'x')));
}

// ---- the program ----

class Signed : public testing::Test {
 protected:
  void SetUp() override {
    write_provider(library());
    configure("trusted_keys: [" + ours().line + "]\n");
  }

  fs::path file() const { return user.providers() / "hello.so"; }
  void write_provider(const std::string& bytes) const {
    user.home().write(".config/mondoo/providers/hello.so", bytes, 0644);
  }
  void write_signature(const std::string& text) const {
    user.home().write(".config/mondoo/providers/hello.so.minisig", text, 0644);
  }
  void configure(const std::string& yaml) const { user.home().write(".config/mondoo/mondoo.yml", yaml); }

  // "STATE KEY (COMMENT)" of hello, or "refused: WHY".
  std::string listed(Argv more = {}) const {
    Argv args = {"providers", "list", "-o", "json"};
    args.insert(args.end(), more.begin(), more.end());
    const RunResult result = user.run(args);
    rapidjson::Document json;
    json.Parse(result.out.c_str());
    if (json.HasParseError()) return result.err;
    for (const auto& one : json["providers"].GetArray()) {
      if (one["name"] != "hello") continue;
      const auto& signer = one["signer"];
      return std::string(signer["state"].GetString()) +
             (signer.HasMember("keyId") ? std::string(" ") + signer["keyId"].GetString() : "") +
             (signer.HasMember("comment") ? std::string(" (") + signer["comment"].GetString() + ")" : "");
    }
    std::string out;
    for (const auto& one : json["refused"].GetArray())
      out += std::string("refused: ") + one["reason"].GetString();
    return out;
  }

  User user;
};

TEST_F(Signed, ProvidersAreListedWithTheirSigner) {
  EXPECT_EQ(listed(), "unsigned");
  write_signature(ours().sign(file()));
  EXPECT_EQ(listed(), "verified " + ours().id + " (a comment)");
  write_signature(ours().sign(file(), {"-l", "-t", "esc \x1b[31m"}));
  EXPECT_EQ(listed(), "verified " + ours().id + " (esc \x1b[31m)");
  const RunResult text = user.run({"providers", "list"});
  EXPECT_TRUE(contains(text.out, "  hello 1.0.0 with connectors: hello  (signed by key ID " + ours().id +
                                     " (esc \\x1b[31m), isolated)\n"))
      << text.out;
  EXPECT_TRUE(contains(text.out, "  (bundled)\n")) << text.out;
  EXPECT_EQ(text.exit_code, 0);

  write_signature(strangers().sign(file()));
  EXPECT_EQ(listed(), "unknown key " + strangers().id);
  EXPECT_TRUE(contains(user.run({"providers", "list"}).out,
                       "(signed by unknown key ID " + strangers().id + ", isolated)\n"));
  const RunResult runs = user.run({"discover", "hello", "you"});
  EXPECT_EQ(runs.exit_code, 0) << runs.err;
}

TEST_F(Signed, ProvidersRun) {
  write_signature(ours().sign(file()));
  for (const char* trust : {"any", "signed"}) {
    const RunResult result = user.run({"discover", "hello", "you", "--trust", trust});
    EXPECT_EQ(result.exit_code, 0) << result.err;
  }
  // In a folder of its own, and by a link.
  fs::create_directory(user.providers() / "hello");
  ASSERT_EQ(::chmod((user.providers() / "hello").c_str(), 0755), 0);
  fs::rename(file(), user.providers() / "hello/hello.so");
  fs::rename(file().string() + ".minisig", user.providers() / "hello/hello.so.minisig");
  EXPECT_EQ(listed({"--trust", "signed"}), "verified " + ours().id + " (a comment)");
  const RunResult signed_too = user.run({"discover", "hello", "you", "--trust", "signed"});
  EXPECT_EQ(signed_too.exit_code, 0) << signed_too.err;
}

// Whoever looks at a provider is overtaken, wherever it speaks to the kernel, by one who puts another version
// into its place or takes it away.
class Overtaken : public testing::Test {
 protected:
  Overtaken() {
    ::setenv("HOME", home_.path().c_str(), 1);
    ::unsetenv("PROVIDERS_PATH");
    auto policy = make_trust_policy("signed", {ours().line}, [] { return &auth::openssl(); });
    options_.search.flag_paths = {dir().string()};
    options_.search.trust = std::make_shared<TrustPolicy>(std::move(*policy));
    for (const char* version : {"1.0.0", "2.0.0"}) {
      const fs::path file = home_.write(
          std::string(version) + "/hello.so",
          replaced(library(), R"("version":"1.0.0")", R"("version":")" + std::string(version) + '"'), 0755);
      home_.write(std::string(version) + "/hello.so.minisig", ours().sign(file), 0644);
    }
  }
  fs::path dir() const { return home_ / "providers"; }
  void begin() const {
    fs::remove_all(dir());
    fs::create_directory(dir());
    fs::copy(home_ / "1.0.0", dir() / "hello");
    fs::copy(home_ / "2.0.0", dir() / ".hello.previous");
  }
  // Nothing but whole, signed versions is seen.
  bool sees_good_ones(bool may_be_gone) const {
    const Inventory inventory = discover(options_.search);
    for (const Refused& refused : inventory.refused)
      std::fprintf(stderr, "%s: %s\n", refused.path.c_str(), refused.reason.message().c_str());
    const Found* hello = inventory.by_name("hello");
    if (!inventory.refused.empty() || (!hello && !may_be_gone)) return false;
    return !hello || hello->signer.state == Signer::State::kVerified;
  }
  template <class Act>
  int overtake(bool may_be_gone, Act&& act) const {
    for (int stop = 0;; stop += kStride) {
      begin();
      const bool reached = stopped_at(
          stop, [&] { return sees_good_ones(may_be_gone); }, [&](pid_t) { act(); },
          [](pid_t) { return true; });
      if (!reached || HasFailure()) return stop;
    }
  }

  TempDir home_;
  InstallOptions options_;
};

TEST_F(Overtaken, ByAnotherVersionItSeesEitherAndNoBadSignature) {
  const int stops = overtake(false, [&] { EXPECT_TRUE(rollback_provider("hello", options_)); });
  EXPECT_GT(stops, 50);
}

TEST_F(Overtaken, ByTwoVersionsItSeesOneOfThem) {
  const int stops = overtake(false, [&] {
    // The folder it had in hand is gone by the end.
    EXPECT_TRUE(rollback_provider("hello", options_));
    fs::remove_all(dir() / ".hello.previous");
  });
  EXPECT_GT(stops, 50);
}

TEST_F(Overtaken, ByItsRemovalItSeesItOrNot) {
  const int stops = overtake(true, [&] { EXPECT_TRUE(remove_provider("hello", options_)); });
  EXPECT_GT(stops, 50);
}

TEST_F(Signed, ProvidersRunWhileTheirVersionsChange) {
  fs::create_directories(user.providers() / "hello");
  const auto put = [&](const std::string& folder, const std::string& version) {
    const fs::path file = user.home().write(
        ".config/mondoo/providers/" + folder + "/hello.so",
        replaced(library(), R"("version":"1.0.0")", R"("version":")" + version + '"'), 0755);
    user.home().write(".config/mondoo/providers/" + folder + "/hello.so.minisig", ours().sign(file), 0644);
    ASSERT_EQ(::chmod(file.parent_path().c_str(), 0755), 0);
  };
  put("hello", "1.0.0");
  put(".hello.previous", "2.0.0");
  fs::remove(file());
  configure("trust: signed\ntrusted_keys: [" + ours().line + "]\n");
  std::atomic<bool> done = false;
  std::thread changing([&] {
    while (!done) {
      const RunResult result =
          user.run({"providers", "rollback", "hello", "--providers-path", user.providers().string()});
      EXPECT_EQ(result.exit_code, 0) << result.err;
    }
  });
  for (int i = 0; i < 10; ++i) {
    const RunResult runs = user.run({"discover", "hello", "you"});
    EXPECT_EQ(runs.exit_code, 0) << runs.err;
    EXPECT_EQ(runs.err, "");
    EXPECT_TRUE(listed().starts_with("verified ")) << listed();
  }
  done = true;
  changing.join();
}

TEST_F(Signed, BadSignaturesRefuseTheFile) {
  const std::string good = ours().sign(file());
  const std::string id = "key ID " + ours().id;
  const std::string bad = "refused: its signature is bad: ";
  write_signature(replaced(good, "a comment", "no comment"));
  EXPECT_EQ(listed(), bad + "its trusted comment is not the one that " + id + " signed");
  write_signature(good);
  write_provider(library() + "x");
  EXPECT_EQ(listed(), bad + "it is not what " + id + " signed");
  write_provider("no library");
  EXPECT_EQ(listed(), bad + "it is not what " + id + " signed");
  write_provider("");
  EXPECT_EQ(listed(), bad + "it is not what " + id + " signed");
  write_provider(library());
  const std::string unusable = "refused: its signature is unusable: ";
  write_signature("");
  EXPECT_EQ(listed(), unusable + "a signature of minisign has 4 lines, found none");
  const RunResult list = user.run({"providers", "list"});
  EXPECT_TRUE(contains(list.out, "! refused: " + file().string() + ": its signature is unusable: "))
      << list.out;
  const RunResult discover = user.run({"discover", "hello", "you"});
  EXPECT_NE(discover.exit_code, 0);
  write_signature(std::string(20000, 'x'));
  EXPECT_TRUE(contains(listed(), "refused: its signature cannot be read: ")) << listed();
  EXPECT_TRUE(contains(listed(), ": has more than 16384 bytes")) << listed();
  // Nor does it depend on a key that could check it.
  configure("");
  write_signature("nonsense\n");
  EXPECT_EQ(listed(), unusable + "a signature of minisign has 4 lines, found 1");

  const std::string path = file().string() + ".minisig";
  fs::remove(path);
  ASSERT_EQ(::mkfifo(path.c_str(), 0644), 0);
  EXPECT_TRUE(contains(listed(), "expected a regular file, found a FIFO")) << listed();
  fs::remove(path);
  fs::create_directory(path);
  EXPECT_TRUE(contains(listed(), "expected a regular file, found a folder")) << listed();
  fs::remove(path);
  fs::create_symlink("gone", path);
  EXPECT_EQ(listed(), "unsigned");
  fs::remove(file());
  EXPECT_EQ(listed(), "refused: a signature without its file, expected hello.so beside it");
}

TEST_F(Signed, NothingElseIsTrustedWhenOnlySignedProvidersAre) {
  const std::string keys = "trusted_keys: [" + ours().line + "]\n";
  const std::string only = ", and only signed providers are trusted (trust: signed); expected ";
  const std::string not_signed = "refused: is not signed" + only +
                                 "hello.so.minisig beside it, by one of the trusted keys: key ID " +
                                 ours().id;
  configure("trust: signed\n" + keys);
  EXPECT_EQ(listed(), not_signed);
  const RunResult text = user.run({"providers", "list"});
  EXPECT_TRUE(contains(text.out, "  sign it with one of them: minisign -Sm hello.so\n")) << text.out;
  EXPECT_TRUE(contains(text.out, "  os ")) << "what is bundled is part of the program: " << text.out;
  EXPECT_NE(user.run({"discover", "hello", "you"}).exit_code, 0);
  write_signature(strangers().sign(file()));
  EXPECT_EQ(listed(), "refused: is signed by key ID " + strangers().id + only +
                          "one of the trusted keys: key ID " + ours().id);
  write_signature(ours().sign(file()));
  EXPECT_EQ(listed(), "verified " + ours().id + " (a comment)");
  configure("trust: signed\n");
  EXPECT_EQ(listed(), "refused: is signed by key ID " + ours().id + only + "one of the trusted keys: none");
  fs::remove(file().string() + ".minisig");

  for (const char* yaml : {"trust: any\n", ""}) {
    configure(yaml + keys);
    EXPECT_EQ(listed(), "unsigned");
    EXPECT_EQ(listed({"--trust", "signed"}), not_signed);
    user.env["MONDOO_TRUST"] = "signed";
    EXPECT_EQ(listed(), not_signed);
    user.env.erase("MONDOO_TRUST");
  }
}

TEST_F(Signed, NeitherFlagNorVariableLoosens) {
  const std::string config = user.config_file().string();
  configure("trust: signed\ntrusted_keys: [" + ours().line + "]\n");
  const RunResult flag = user.run({"providers", "list", "--trust", "any"});
  EXPECT_EQ(flag.exit_code, 2);
  EXPECT_EQ(flag.out, "");
  EXPECT_EQ(flag.err, "x --trust any cannot loosen trust: signed, which stands in " + config +
                          ":1:8\n  change it there, or sign the provider\n");
  user.env["MONDOO_TRUST"] = "any";
  const RunResult variable = user.run({"providers", "list"});
  EXPECT_EQ(variable.exit_code, 0);
  EXPECT_TRUE(contains(variable.out, "hello.so: is not signed")) << variable.out;
  EXPECT_EQ(
      variable.err,
      "! MONDOO_TRUST cannot loosen trust: it is any, and signed stays; to mend it: change trust in the "
      "configuration, or unset MONDOO_TRUST\n");
  // Both at once, and the tighter of the two.
  configure("");
  user.env["MONDOO_TRUST"] = "signed";
  EXPECT_EQ(user.run({"providers", "list", "--trust", "any"}).err,
            "x --trust any cannot loosen trust: signed, which stands in MONDOO_TRUST\n"
            "  change it there, or sign the provider\n");
}

TEST_F(Signed, AVariableAddsNoKeys) {
  write_signature(strangers().sign(file()));
  user.env["MONDOO_TRUSTED_KEYS"] = strangers().line + " " + ours().line;
  EXPECT_EQ(listed(), "unknown key " + strangers().id);
  EXPECT_EQ(
      user.run({"providers", "list"}).err,
      "! MONDOO_TRUSTED_KEYS cannot loosen trusted_keys: it adds 1, and they stay out; to mend it: change "
      "trusted_keys in the configuration, or unset MONDOO_TRUSTED_KEYS\n");
  configure("trust: signed\n");
  EXPECT_TRUE(contains(listed(), "one of the trusted keys: none")) << listed();
  user.env["MONDOO_TRUST"] = "signed";
  EXPECT_TRUE(contains(listed(), "one of the trusted keys: none")) << listed();

  // Fewer of them is tighter, and so are some where there were none.
  configure("trusted_keys: [" + ours().line + ", " + strangers().line + "]\n");
  EXPECT_EQ(listed(), "verified " + strangers().id + " (a comment)");
  user.env["MONDOO_TRUSTED_KEYS"] = ours().line;
  EXPECT_TRUE(contains(listed(), "refused: is signed by key ID " + strangers().id)) << listed();
  configure("");
  EXPECT_TRUE(contains(listed(), "refused: is signed by key ID " + strangers().id)) << listed();
}

TEST_F(Signed, WrongWordsAndKeysMakeTheConfigurationUnusable) {
  const std::string config = user.config_file().string();
  const auto expect = [&](int code, const std::string& err, const Argv& args = {"providers", "list"}) {
    const RunResult result = user.run(args);
    EXPECT_EQ(result.exit_code, code);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, err);
  };
  configure("trust: some\n");
  expect(78, "x " + config + ":1:8: trust must be any or signed, found some\n");
  configure("trust: [any]\n");
  expect(78, "x " + config + ":1:8: trust must be any or signed, found a list\n");
  configure("trusted_keys: {a: b}\n");
  expect(78, "x " + config + ":1:15: trusted_keys must be a list of texts, found a mapping\n");
  configure("trusted_keys:\n  - " + ours().line + "\n  - /etc/minisign.pub\n");
  expect(78,
         "x " + config +
             ":2:3: trusted_keys, number 2: no public key of minisign: it has 17 characters, expected 56\n"
             "  give the last line of the file minisign.pub, which begins with RW\n");
  configure("");
  user.env["MONDOO_TRUST"] = "Signed";
  expect(78, "x MONDOO_TRUST: trust must be any or signed, found Signed\n");
  user.env.erase("MONDOO_TRUST");
  const RunResult flag = user.run({"providers", "list", "--trust", "none"});
  EXPECT_EQ(flag.exit_code, 2);
  EXPECT_TRUE(contains(flag.err, "--trust")) << flag.err;
  EXPECT_TRUE(contains(flag.err, "signed")) << flag.err;
}

// ---- what was verified is what is loaded ----

class Loaded : public testing::Test {
 protected:
  Loaded() {
    auto made =
        make_trust_policy("signed", {ours().line}, [] { return Result<const Crypto*>(&auth::openssl()); });
    if (made) policy_ = std::make_shared<const TrustPolicy>(std::move(*made));
  }
  Found found(const std::string& bytes) {
    folder_.write("hello.so", bytes, 0644);
    if (policy_->signed_only) folder_.write("hello.so.minisig", ours().sign(file()), 0644);
    Inventory inventory =
        discover({.flag_paths = {folder_.path().string()}, .bundled = {}, .trust = policy_});
    EXPECT_NE(inventory.by_name("hello"), nullptr);
    return inventory.by_name("hello") ? *inventory.by_name("hello") : Found();
  }
  fs::path file() const { return folder_ / "hello.so"; }

  // How often the mappings of this process name `part`.
  static int mappings(const std::string& part) {
    int count = 0;
    for (const std::string& line : lines_of(read_file("/proc/self/maps"))) count += contains(line, part);
    return count;
  }
  static std::string contents(int fd, std::uint64_t size) {
    std::string out(size, '\0');
    EXPECT_EQ(::pread(fd, out.data(), out.size(), 0), static_cast<ssize_t>(size));
    return out;
  }

  TempDir folder_;
  std::shared_ptr<const TrustPolicy> policy_;
};

TEST_F(Loaded, FromSealedMemoryOnce) {
  const Found hello = found(library());
  const int before = mappings("memfd:cnspec-provider");
  {
    const auto first = load_in_process(hello, {}, {});
    ASSERT_TRUE(first) << first.error().message();
  }
  const int once = mappings("memfd:cnspec-provider");
  EXPECT_GT(once, before);
  EXPECT_EQ(mappings(file().string()), 0) << "nothing is mapped from the path";
  {
    const auto second = load_in_process(hello, {}, {});
    ASSERT_TRUE(second) << second.error().message();
  }
  EXPECT_EQ(mappings("memfd:cnspec-provider"), once) << "the same bytes are one library";
}

TEST_F(Loaded, NothingReachesTheSealedBytes) {
  const auto opened = open_checked(found(library()));
  ASSERT_TRUE(opened) << opened.error().message();
  const int fd = opened->file.fd();
  EXPECT_TRUE(opened->file.sealed());
  EXPECT_EQ(opened->file.path(), file());
  folder_.write("hello.so", "something else", 0644);
  EXPECT_EQ(contents(fd, opened->file.size()), library());
  EXPECT_LT(::pwrite(fd, "x", 1, 0), 0);
  EXPECT_EQ(errno, EPERM);
  EXPECT_LT(::ftruncate(fd, 1), 0);
  EXPECT_EQ(errno, EPERM);
  const int again = ::open(opened->file.descriptor_path().c_str(), O_RDWR | O_CLOEXEC);
  EXPECT_LT(again < 0 ? -1 : ::pwrite(again, "x", 1, 0), 0);
  if (again >= 0) ::close(again);
  EXPECT_EQ(::fcntl(fd, F_GET_SEALS) & (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
            F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

TEST_F(Loaded, OnlyWhatIsStillSigned) {
  const Found hello = found(library());
  folder_.write("hello.so", library() + "x", 0644);
  const auto changed = load_in_process(hello, {}, {});
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().message(), "provider \"hello\": load " + file().string() +
                                           ": its signature is bad: it is not what key ID " + ours().id +
                                           " signed");
  fs::remove(file().string() + ".minisig");
  const auto removed = load_in_process(hello, {}, {});
  ASSERT_FALSE(removed);
  EXPECT_TRUE(contains(removed.error().message(), "is not signed")) << removed.error().message();

  // Where anything is trusted, too, what was listed as signed has to be.
  policy_ = std::make_shared<const TrustPolicy>(TrustPolicy{false, policy_->keys, policy_->crypto});
  folder_.write("hello.so", library(), 0644);
  folder_.write("hello.so.minisig", ours().sign(file()), 0644);
  const Found listed = found(library());
  ASSERT_EQ(listed.signer.state, Signer::State::kVerified);
  fs::remove(file().string() + ".minisig");
  const auto unsigned_now = load_in_process(listed, {}, {});
  ASSERT_FALSE(unsigned_now);
  EXPECT_TRUE(contains(unsigned_now.error().message(), "was replaced while it was being loaded"))
      << unsigned_now.error().message();
}

TEST_F(Loaded, WhateverHappensToThePathMeanwhile) {
  const std::string good = library();
  const Found hello = found(good);
  const std::string evil = replaced(good, "1.0.0", "6.6.6");
  std::atomic<bool> stop = false;
  // Swaps the file for another, and writes over it where it is.
  std::thread attacker([&] {
    while (!stop) {
      folder_.write("evil.so", evil, 0644);
      fs::rename(folder_ / "evil.so", file());
      std::fstream in_place(file(), std::ios::in | std::ios::out | std::ios::binary);
      in_place.write(good.data(), static_cast<std::streamsize>(good.size()));
      in_place.close();
      folder_.write("good.so", good, 0644);
      fs::rename(folder_ / "good.so", file());
    }
  });
  int opened = 0, refused = 0;
  while (opened + refused < 300 || opened == 0) {
    const auto checked = open_checked(hello);
    if (!checked) {
      ++refused;
      continue;
    }
    ++opened;
    EXPECT_EQ(checked->manifest.version, "1.0.0");
    EXPECT_TRUE(contents(checked->file.fd(), checked->file.size()) == good);
  }
  stop = true;
  attacker.join();
}

TEST_F(Loaded, ThroughTheDescriptorThatWasCheckedWhereNothingIsSigned) {
  policy_ = std::make_shared<const TrustPolicy>();
  // Another library than the other tests load.
  std::string bytes = library();
  const Found hello = found(bytes);
  auto opened = open_checked(hello);
  ASSERT_TRUE(opened) << opened.error().message();
  EXPECT_FALSE(opened->file.sealed());
  fs::rename(folder_.write("other.so", "something else", 0644), file());
  EXPECT_EQ(contents(opened->file.fd(), opened->file.size()), bytes);
  folder_.write("hello.so", library(), 0644);
  const auto loaded = load_in_process(found(library()), {}, {});
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_GT(mappings(file().string()), 0) << "debuggers and reports see the file's own name";
}

}  // namespace
}  // namespace cnspec::test
