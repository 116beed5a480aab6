// cnspec-platform as its clients meet it: a real process, over TLS, with tokens signed here by OpenSSL alone.
#include <arpa/inet.h>
#include <curl/curl.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <memory>
#include <regex>
#include <stdexcept>
#include <thread>

#include "api.pb.h"
#include "support/platform.hpp"

namespace cnspec::test {
namespace {

namespace api = cnspec::platform;
namespace fs = std::filesystem;

constexpr char kJson[] = "application/json";
constexpr char kProtobuf[] = "application/protobuf";
constexpr int kUnauthenticated = 16;

testing::AssertionResult verdict(bool good, const std::string& text, const char* verb,
                                 const std::string& what) {
  return (good ? testing::AssertionSuccess() : testing::AssertionFailure())
         << "\"" << text << "\"" << verb << "\"" << what << "\"";
}
testing::AssertionResult has(const std::string& text, const std::string& part) {
  return verdict(text.find(part) != text.npos, text, " should hold ", part);
}
testing::AssertionResult lacks(const std::string& text, const std::string& part) {
  return verdict(text.find(part) == text.npos, text, " should not hold ", part);
}
testing::AssertionResult matches(const std::string& text, const std::string& pattern) {
  return verdict(std::regex_match(text, std::regex(pattern)), text, " should match ", pattern);
}
testing::AssertionResult has_match(const std::string& text, const std::string& pattern) {
  return verdict(std::regex_search(text, std::regex(pattern)), text, " should hold a match of ", pattern);
}

// --- HTTP by libcurl

struct Reply {
  long status = 0;
  std::string type;
  std::string headers;
  std::string body;
};

using Headers = std::vector<std::string>;

std::size_t append(char* data, std::size_t size, std::size_t count, void* to) {
  static_cast<std::string*>(to)->append(data, size * count);
  return size * count;
}

// One connection, kept alive between requests.
class Client {
 public:
  explicit Client(const Platform& platform) : url_(platform.url()), ca_(platform.ca_file()) {}

  Reply request(const std::string& verb, const std::string& path, const Headers& headers = {},
                const std::string& body = {}) {
    curl_easy_reset(curl_.get());
    Reply reply;
    const std::string url = url_ + path;
    curl_slist* list = nullptr;
    for (const auto& header : headers) list = curl_slist_append(list, header.c_str());
    if (!body.empty() || verb == "POST") {
      curl_easy_setopt(curl_.get(), CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
      curl_easy_setopt(curl_.get(), CURLOPT_POSTFIELDS, body.data());
    }
    curl_easy_setopt(curl_.get(), CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl_.get(), CURLOPT_CUSTOMREQUEST, verb.c_str());
    curl_easy_setopt(curl_.get(), CURLOPT_NOBODY, verb == "HEAD" ? 1L : 0L);
    curl_easy_setopt(curl_.get(), CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl_.get(), CURLOPT_CAINFO, ca_.c_str());
    curl_easy_setopt(curl_.get(), CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl_.get(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl_.get(), CURLOPT_TIMEOUT, static_cast<long>(kPatience.count()));
    curl_easy_setopt(curl_.get(), CURLOPT_WRITEFUNCTION, append);
    curl_easy_setopt(curl_.get(), CURLOPT_WRITEDATA, &reply.body);
    curl_easy_setopt(curl_.get(), CURLOPT_HEADERFUNCTION, append);
    curl_easy_setopt(curl_.get(), CURLOPT_HEADERDATA, &reply.headers);
    const CURLcode result = curl_easy_perform(curl_.get());
    curl_slist_free_all(list);
    if (result != CURLE_OK) throw std::runtime_error(url + ": " + curl_easy_strerror(result));
    curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &reply.status);
    const char* type = nullptr;
    curl_easy_getinfo(curl_.get(), CURLINFO_CONTENT_TYPE, &type);
    if (type) reply.type = type;
    return reply;
  }

  Reply post(const std::string& method, const std::string& body, const std::string& type = kJson,
             Headers more = {}) {
    more.push_back("Content-Type: " + type);
    more.push_back("Accept: " + type);
    return request("POST", "/" + method, more, body);
  }
  Reply get(const std::string& path) { return request("GET", path); }

  long connections_made() {
    long count = 0;
    curl_easy_getinfo(curl_.get(), CURLINFO_NUM_CONNECTS, &count);
    return count;
  }

 private:
  struct Free {
    void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  };
  std::string url_;
  std::string ca_;
  std::unique_ptr<CURL, Free> curl_{curl_easy_init()};
};

Headers bearer(const std::string& token) { return {"Authorization: Bearer " + token}; }

template <class Message>
Message parsed(const Reply& reply) {
  Message message;
  if (reply.type == kProtobuf) {
    EXPECT_TRUE(message.ParseFromString(reply.body)) << reply.body;
  } else {
    EXPECT_EQ(reply.type, kJson);
    const auto status = google::protobuf::util::JsonStringToMessage(reply.body, &message);
    EXPECT_TRUE(status.ok()) << status << ": " << reply.body;
  }
  return message;
}

template <class Message>
std::string written(const Message& message, const std::string& type) {
  std::string text;
  if (type == kProtobuf) return message.SerializeAsString();
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(message, &text).ok());
  return text;
}

void expect_refused(const Reply& reply, long http, int code, const std::string& message) {
  const auto status = parsed<api::Status>(reply);
  EXPECT_EQ(reply.status, http) << reply.body;
  EXPECT_EQ(status.code(), code);
  EXPECT_TRUE(has(status.message(), message));
}

void expect_unauthenticated(const Reply& reply) {
  expect_refused(reply, 401, kUnauthenticated, "");
  EXPECT_EQ(parsed<api::Status>(reply).message(), "request permission unauthenticated");
}

// --- Raw TLS, for what no HTTP client would say

class Socket {
 public:
  explicit Socket(const Platform& platform) {
    const std::string& url = platform.url();
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1))));
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval patience{kPatience.count(), 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("connect");
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() { ::close(fd_); }

  int fd() const { return fd_; }
  void send(const std::string& bytes) {
    ASSERT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL), std::ssize(bytes));
  }
  // True when the other side has closed; throws when it does not.
  bool closed() {
    char buffer[512];
    for (;;) {
      const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
      if (n > 0) continue;  // an alert on the way out
      if (n < 0 && errno == EAGAIN) throw std::runtime_error("the connection was not closed in time");
      return true;
    }
  }

 private:
  int fd_ = -1;
};

class TlsSocket {
 public:
  explicit TlsSocket(const Platform& platform) : socket_(platform) {
    SSL_CTX_load_verify_file(context_.get(), platform.ca_file().c_str());
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), socket_.fd());
    if (SSL_connect(ssl_.get()) != 1) throw std::runtime_error("TLS handshake failed");
  }

  // What the platform has no interest in any more may fail to be sent.
  bool send(const std::string& bytes) {
    return SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())) ==
           static_cast<int>(bytes.size());
  }
  std::string read_until(const std::string& end) {
    while (text_.find(end) == text_.npos && read_some()) {
    }
    return text_;
  }
  std::string read_to_end() {
    while (read_some()) {
    }
    return text_;
  }

 private:
  bool read_some() {
    char buffer[4096];
    const int n = SSL_read(ssl_.get(), buffer, sizeof buffer);
    if (n > 0) text_.append(buffer, static_cast<std::size_t>(n));
    if (n <= 0 && errno == EAGAIN && SSL_get_error(ssl_.get(), n) == SSL_ERROR_SYSCALL) {
      throw std::runtime_error("nothing came in time after: " + text_);
    }
    return n > 0;
  }

  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  Socket socket_;
  std::unique_ptr<SSL_CTX, Free> context_{SSL_CTX_new(TLS_client_method())};
  std::unique_ptr<SSL, Free> ssl_;
  std::string text_;
};

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

// --- Tokens by OpenSSL

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Key = std::shared_ptr<EVP_PKEY>;

Key key_from(const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  Key key(PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr), FreeKey());
  BIO_free(bio);
  if (!key) throw std::runtime_error("no private key: " + pem);
  return key;
}

std::string pem_of(const Key& key, const std::string& passphrase = {}) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), BIO_free);
  std::string copy = passphrase;
  PEM_write_bio_PKCS8PrivateKey(out.get(), key.get(), passphrase.empty() ? nullptr : EVP_aes_256_cbc(),
                                copy.data(), static_cast<int>(copy.size()), nullptr, nullptr);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

Key new_key(const char* curve) { return {EVP_EC_gen(curve), FreeKey()}; }

std::string base64url(const std::string& bytes) {
  std::string text(bytes.size() * 4 / 3 + 4, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  while (!text.empty() && text.back() == '=') text.pop_back();
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return text;
}

std::string un_base64url(std::string text) {
  for (char& c : text) c = c == '-' ? '+' : c == '_' ? '/' : c;
  std::size_t padding = 0;
  for (; text.size() % 4 != 0; ++padding) text += '=';
  std::string bytes(text.size() / 4 * 3, '\0');
  EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                  reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  bytes.resize(bytes.size() - padding);
  return bytes;
}

std::string hex_sha256(const std::string& bytes) {
  unsigned char hash[32];
  EVP_Digest(bytes.data(), bytes.size(), hash, nullptr, EVP_sha256(), nullptr);
  std::string text;
  for (const unsigned char byte : hash) {
    constexpr char digits[] = "0123456789abcdef";
    text += {digits[byte >> 4], digits[byte & 15]};
  }
  return text;
}

std::string ecdsa(const Key& key, const std::string& text, const EVP_MD* hash, int half) {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  unsigned char der[256];
  std::size_t size = sizeof der;
  EXPECT_EQ(EVP_DigestSignInit(context, nullptr, hash, nullptr, key.get()), 1);
  EXPECT_EQ(
      EVP_DigestSign(context, der, &size, reinterpret_cast<const unsigned char*>(text.data()), text.size()),
      1);
  EVP_MD_CTX_free(context);
  const unsigned char* from = der;
  ECDSA_SIG* signature = d2i_ECDSA_SIG(nullptr, &from, static_cast<long>(size));
  std::string raw(static_cast<std::size_t>(2 * half), '\0');
  auto* out = reinterpret_cast<unsigned char*>(raw.data());
  EXPECT_EQ(BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, half), half);
  EXPECT_EQ(BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + half, half), half);
  ECDSA_SIG_free(signature);
  return raw;
}

std::string quoted(const std::string& text) { return "\"" + text + "\""; }

// Name and JSON value; an empty value leaves the member out.
using Members = std::vector<std::pair<std::string, std::string>>;

std::string object(Members members, const Members& changes) {
  for (const auto& [name, value] : changes) {
    const auto found =
        std::find_if(members.begin(), members.end(), [&](const auto& m) { return m.first == name; });
    if (found != members.end()) {
      found->second = value;
    } else {
      members.emplace_back(name, value);
    }
  }
  std::string text;
  for (const auto& [name, value] : members) {
    if (!value.empty()) text += (text.empty() ? "" : ",") + quoted(name) + ":" + value;
  }
  return "{" + text + "}";
}

std::string signed_es384(const Key& key, const std::string& header, const std::string& claims) {
  const std::string text = base64url(header) + "." + base64url(claims);
  return text + "." + base64url(ecdsa(key, text, EVP_sha384(), 48));
}

std::string at(long seconds_from_now) { return std::to_string(std::time(nullptr) + seconds_from_now); }

// A registered client.
struct Account {
  std::string agent;
  std::string mrn;
  Key key;

  Members header() const { return {{"alg", quoted("ES384")}, {"typ", quoted("JWT")}, {"kid", quoted(mrn)}}; }
  Members claims(const std::string& body) const {
    return {{"sub", quoted(mrn)}, {"iss", quoted("mondoo/ams")},      {"iat", at(0)}, {"nbf", at(0)},
            {"exp", at(60)},      {"chash", quoted(hex_sha256(body))}};
  }
  std::string token(const std::string& body, const Members& header_changes = {},
                    const Members& claim_changes = {}) const {
    return signed_es384(key, object(header(), header_changes), object(claims(body), claim_changes));
  }
};

api::AgentRegistrationRequest registration() {
  api::AgentRegistrationRequest request;
  request.set_name("web-1");
  auto& info = *request.mutable_agent_info();
  info.set_version("13.4.1");
  info.set_platform_name("debian");
  info.set_platform_release("12");
  info.set_platform_arch("x86_64");
  info.set_platform_ip("192.0.2.7");
  info.set_platform_hostname("web-1.example");
  info.set_platform_id("//platformid/machine-1");
  (*info.mutable_labels())["env"] = "test";
  return request;
}

Account registered(const Platform& platform, const std::string& space = "test-space",
                   const std::string& type = kJson) {
  Client client(platform);
  const Reply reply = client.post("AgentManager/RegisterAgent", written(registration(), type), type,
                                  bearer(platform.token(space)));
  EXPECT_EQ(reply.status, 200) << reply.body;
  const auto answer = parsed<api::AgentRegistrationConfirmation>(reply);
  return {answer.agent_mrn(), answer.credential().mrn(), key_from(answer.credential().private_key())};
}

Reply signed_post(Client& client, const Account& account, const std::string& method, const std::string& body,
                  const std::string& type = kJson) {
  return client.post(method, body, type, bearer(account.token(body)));
}

long ping(const Platform& platform, const Account& account) {
  Client client(platform);
  return signed_post(client, account, "AgentManager/PingPong", "{}").status;
}

std::string claims_of(const std::string& token) {
  const auto first = token.find('.');
  return un_base64url(token.substr(first + 1, token.find('.', first + 1) - first - 1));
}

std::string claim(const std::string& token, const std::string& name) {
  std::smatch found;
  const std::string claims = claims_of(token);
  return std::regex_search(claims, found, std::regex("\"" + name + "\":\"?([^\",}]*)")) ? found[1].str() : "";
}

RunResult cli(Argv args, const ProcessOptions& options = {}) {
  args.insert(args.begin(), program("cnspec-platform"));
  return run(args, options);
}

// Whose purpose is to print a secret.
RunResult create_token(Argv args, ProcessOptions options = {}) {
  options.prints_secrets = true;
  args.insert(args.begin(), {"token", "create"});
  return cli(std::move(args), options);
}

ProcessOptions home_is(const std::optional<std::string>& home) {
  ProcessOptions options;
  options.env = {{"HOME", home}, {"XDG_DATA_HOME", std::nullopt}};
  return options;
}

// --- The wire contract

TEST(PlatformWire, FieldNumbersAndNamesAreTheContract) {
  const auto fields = [](const google::protobuf::Descriptor* message) {
    std::string text;
    for (int i = 0; i < message->field_count(); ++i) {
      text += (i ? " " : "") + message->field(i)->name() + "=" + std::to_string(message->field(i)->number());
    }
    return text;
  };
  EXPECT_EQ(fields(api::HealthCheckRequest::descriptor()), "service=1");
  EXPECT_EQ(fields(api::HealthCheckResponse::descriptor()), "status=1 time=2 apiVersion=3 build=4");
  EXPECT_EQ(fields(api::AgentRegistrationRequest::descriptor()), "token=1 name=2 agent_info=3");
  EXPECT_EQ(fields(api::AgentRegistrationConfirmation::descriptor()), "agent_mrn=1 credential=2");
  EXPECT_EQ(fields(api::ServiceAccountCredentials::descriptor()),
            "mrn=1 parent_mrn=2 private_key=3 certificate=4 api_endpoint=5 scope_mrn=6");
  EXPECT_EQ(fields(api::AgentInfo::descriptor()),
            "mrn=1 version=2 build=3 platform_name=4 platform_release=5 platform_arch=6 platform_ip=7 "
            "platform_hostname=8 labels=18 platform_id=20");
  EXPECT_EQ(fields(api::Mrn::descriptor()), "mrn=1");
  EXPECT_EQ(fields(api::Confirmation::descriptor()), "mrn=1");
  EXPECT_EQ(fields(api::Status::descriptor()), "code=1 message=2");
}

class PlatformFormats : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Both, PlatformFormats, testing::Values(kJson, kProtobuf),
                         [](const auto& format) { return format.param == kJson ? "Json" : "Protobuf"; });

TEST_P(PlatformFormats, AClientsWholeLife) {
  const std::string& type = GetParam();
  Platform platform;
  Client client(platform);

  const auto health = parsed<api::HealthCheckResponse>(
      client.post("Health/Check", written(api::HealthCheckRequest(), type), type));
  EXPECT_EQ(health.status(), api::HealthCheckResponse::SERVING);
  EXPECT_EQ(health.apiversion(), "13");
  EXPECT_NE(health.build(), "");
  EXPECT_TRUE(matches(health.time(), "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"));

  const std::string token = platform.token("lab");
  const Reply reply =
      client.post("AgentManager/RegisterAgent", written(registration(), type), type, bearer(token));
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.type, type);
  const auto answer = parsed<api::AgentRegistrationConfirmation>(reply);
  const auto& credential = answer.credential();
  EXPECT_TRUE(matches(answer.agent_mrn(), "//agents.api.mondoo.app/spaces/lab/agents/[0-9A-Za-z]{27}"));
  EXPECT_TRUE(
      matches(credential.mrn(), "//agents.api.mondoo.app/spaces/lab/serviceaccounts/[0-9A-Za-z]{27}"));
  EXPECT_EQ(credential.parent_mrn(), "//captain.api.mondoo.app/spaces/lab");
  EXPECT_EQ(credential.scope_mrn(), "//captain.api.mondoo.app/spaces/lab");
  EXPECT_EQ(credential.api_endpoint(), platform.url());

  const Account account{answer.agent_mrn(), credential.mrn(), key_from(credential.private_key())};
  for (const char* method : {"AgentManager/PingPong", "AgentManager/HealthCheck"}) {
    const Reply pong = signed_post(client, account, method, type == kJson ? "{}" : "", type);
    EXPECT_EQ(pong.status, 200) << method << pong.body;
    EXPECT_EQ(pong.body, type == kJson ? "{}" : "");
  }
  api::AgentInfo info;
  info.set_mrn(account.agent);
  info.set_version("14.0.0");
  EXPECT_EQ(signed_post(client, account, "AgentManager/HealthCheck", written(info, type), type).status, 200);
  EXPECT_TRUE(has(cli({"list", "--data", platform.data().string()}).out, "\tweb-1\t14.0.0\tdebian 12\t"));

  api::Mrn mrn;
  mrn.set_mrn(account.agent);
  const Reply bye = signed_post(client, account, "AgentManager/UnRegisterAgent", written(mrn, type), type);
  EXPECT_EQ(bye.status, 200) << bye.body;
  EXPECT_EQ(parsed<api::Confirmation>(bye).mrn(), account.agent);
  EXPECT_EQ(ping(platform, account), 401);
}

TEST(PlatformWire, CredentialIsAPkcs8KeyWithItsCertificate) {
  Platform platform;
  Client client(platform);
  const auto answer = parsed<api::AgentRegistrationConfirmation>(
      client.post("AgentManager/RegisterAgent", "{}", kJson, bearer(platform.token())));
  const std::string& pem = answer.credential().private_key();
  EXPECT_EQ(pem.rfind("-----BEGIN PRIVATE KEY-----\n", 0), 0u);
  const Key key = key_from(pem);
  EXPECT_EQ(EVP_PKEY_get_bits(key.get()), 384);

  const auto load = [](const std::string& text) {
    BIO* bio = BIO_new_mem_buf(text.data(), static_cast<int>(text.size()));
    X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
    BIO_free(bio);
    return std::shared_ptr<X509>(certificate, X509_free);
  };
  const auto certificate = load(answer.credential().certificate());
  const auto authority = load(read_file(platform.ca_file()));
  ASSERT_TRUE(certificate && authority);
  EXPECT_EQ(X509_check_private_key(certificate.get(), key.get()), 1);
  EXPECT_EQ(X509_verify(certificate.get(), X509_get0_pubkey(authority.get())), 1);

  // The platform keeps nothing of the private key, neither as text nor as bytes.
  std::string base64 = pem.substr(pem.find('\n') + 1);
  const std::string first_line = base64.substr(0, base64.find('\n'));
  BIGNUM* scalar = nullptr;
  ASSERT_EQ(EVP_PKEY_get_bn_param(key.get(), "priv", &scalar), 1);
  std::string secret(48, '\0');
  BN_bn2binpad(scalar, reinterpret_cast<unsigned char*>(secret.data()), 48);
  BN_clear_free(scalar);
  for (const auto& file : fs::directory_iterator(platform.data())) {
    const std::string stored = read_file(file.path());
    EXPECT_EQ(stored.find(first_line), stored.npos) << file;
    EXPECT_EQ(stored.find(secret), stored.npos) << file;
  }
}

TEST(PlatformWire, AnswersInTheFormatAskedFor) {
  Platform platform;
  Client client(platform);
  const auto type = [&](const Headers& headers, const std::string& body) {
    const Reply reply = client.request("POST", "/Health/Check", headers, body);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.type;
  };
  EXPECT_EQ(type({"Content-Type: application/protobuf", "Accept: application/json"}, ""), kJson);
  EXPECT_EQ(type({"Content-Type: application/json", "Accept: application/protobuf"}, "{}"), kProtobuf);
  EXPECT_EQ(type({"Content-Type: Application/JSON; charset=utf-8"}, "{}"), kJson);  // curl accepts */*
  EXPECT_EQ(type({"Content-Type: application/x-protobuf", "Accept: text/html, application/json;q=0.5"}, ""),
            kJson);
  EXPECT_EQ(type({"Content-Type: application/octet-stream"}, ""), kProtobuf);
  EXPECT_EQ(type({"Content-Type:", "Accept:"}, ""), kJson);
}

TEST(PlatformWire, JsonMayUseEitherCaseAndUnknownMembers) {
  Platform platform;
  Client client(platform);
  for (const char* body :
       {R"({"name":"a","agent_info":{"platform_name":"debian","nobody":[1,{"x":null}]},"other":1})",
        R"({"name":"a","agentInfo":{"platformName":"debian"}})"}) {
    const Reply reply = client.post("AgentManager/RegisterAgent", body, kJson, bearer(platform.token()));
    EXPECT_EQ(reply.status, 200) << reply.body;
    EXPECT_TRUE(has(reply.body, R"("agent_mrn":)"));
    EXPECT_TRUE(has(reply.body, R"("private_key":)"));
  }
  EXPECT_EQ(count(cli({"list", "--data", platform.data().string()}).out, "debian"), 2u);
}

TEST(PlatformWire, BodiesThatMakeNoSense) {
  Platform platform;
  Client client(platform);
  const Headers token = bearer(platform.token());
  const auto refused = [&](const std::string& body, const std::string& type, const std::string& message) {
    expect_refused(client.post("AgentManager/RegisterAgent", body, type, token), 400, 3, message);
  };
  refused("", kJson, "invalid JSON at byte 0");
  refused("{", kJson, "invalid JSON at byte 1");
  refused("{'name': 'x'}", kJson, "invalid JSON");
  refused("null", kJson, "no JSON object");
  refused("[]", kJson, "no JSON object");
  refused(R"({"name": {}})", kJson, "AgentRegistrationRequest");
  refused(R"({"agent_info": 3})", kJson, "AgentRegistrationRequest");
  refused("{\"name\": \"\xff\"}", kJson, "invalid JSON");
  refused("{\"\xff\": 1}", kJson, "invalid JSON");
  refused(R"({"name": "\ud800"})", kJson, "invalid JSON");
  refused(R"({"name": "\udc00"})", kJson, "AgentRegistrationRequest");
  refused(R"({"nobody": )" + std::string(400, '9') + "}", kJson, "Number too big");
  refused(R"({"name": 5})", kJson, "AgentRegistrationRequest");
  refused(R"({"agent_info": {"labels": {"a": "1", "a": "2"}}})", kJson, "'a' is already set");
  refused(R"({"agent_info": {"labels": {"a": {}}}})", kJson, "AgentRegistrationRequest");
  refused("{\"name\":" + std::string(100000, '[') + "}", kJson, "nested deeper");
  refused("\xff\xff", kProtobuf, "no valid protobuf of AgentRegistrationRequest");
  refused(std::string("\x12\x7f", 2), kProtobuf, "no valid protobuf");
  refused("\x12\x02\xff\xff", kProtobuf, "no valid protobuf");  // a name that is not UTF-8
  expect_refused(client.request("POST", "/Health/Check", {"Content-Type: text/html"}, "x"), 400, 3,
                 "the Content-Type is \"text/html\"; expected application/protobuf or application/json");
  expect_refused(client.request("POST", "/Health/Check", {"Content-Type:"}, "x"), 400, 3,
                 "the Content-Type is missing");
  EXPECT_EQ(client.post("Health/Check", "{}").status, 200);
  // Clients are told, and have no say in the platform's log.
  EXPECT_EQ(count(platform.stop().err, "\n"), 1u);
}

TEST(PlatformWire, OddBodiesThatMakeSense) {
  Platform platform;
  Client client(platform);
  const Headers token = bearer(platform.token());
  for (const char* body : {R"({"name": "first", "name": "last", "nobody": 1e-400})",
                           R"({"name": "nul\u0000byte", "agent_info": {"platform_hostname": "\u001b[31m"}})",
                           R"({"name": null, "agent_info": null})", R"({"name": "\ud83d\ude00"})"})
    EXPECT_EQ(client.post("AgentManager/RegisterAgent", body, kJson, token).status, 200);
  const std::string data = platform.data().string();
  const std::string json = cli({"list", "-o", "json", "--data", data}).out;
  EXPECT_TRUE(lacks(json, "first"));
  for (const char* name : {"\"last\"", "\"nul\\u0000byte\"", "\"\\u001B[31m\"", "\"\U0001F600\""})
    EXPECT_TRUE(has(json, name));
  const std::string text = cli({"list", "--data", data}).out;
  EXPECT_TRUE(has(text, "\tnul\\x00byte\t\\x1b[31m\n"));
  EXPECT_EQ(count(platform.stop().err, "\n"), 1u);
}

TEST(PlatformWire, WrongPathsAndVerbs) {
  Platform platform;
  Client client(platform);
  for (const char* path : {"/AgentManager/Nothing", "/Nothing/Check", "/", "/Health/Check/", "//Health/Check",
                           "/health/check"}) {
    expect_refused(client.request("POST", path, {"Content-Type: application/json"}, "{}"), 501, 12,
                   "no method");
  }
  expect_refused(client.get("/nothing"), 404, 5, "nothing at /nothing");
  for (const char* verb : {"GET", "PUT", "DELETE", "BREW"}) {
    const Reply reply = client.request(verb, "/Health/Check");
    expect_refused(reply, 405, 12, "POST");
    EXPECT_TRUE(has(reply.headers, "Allow: POST"));
  }
  const Reply head = client.request("HEAD", "/Health/Check");
  EXPECT_EQ(head.status, 405);
  EXPECT_EQ(head.body, "");
  const Reply posted = client.post("cnspec/latest.json", "{}");
  expect_refused(posted, 405, 12, "GET");
  EXPECT_TRUE(has(posted.headers, "Allow: GET"));
}

TEST(PlatformWire, LatestVersions) {
  Platform platform({"--latest-version", "99.1.2"});
  Client client(platform);
  for (const char* path : {"/cnspec/latest.json", "/mql/latest.json", "/cnspec/latest.json?ignoreCache=1"}) {
    const Reply reply = client.get(path);
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.type, kJson);
    EXPECT_EQ(reply.body, R"({"version":"99.1.2"})");
  }
  EXPECT_EQ(client.request("HEAD", "/cnspec/latest.json").status, 200);
  const std::string providers = client.get("/providers/latest.json").body;
  EXPECT_EQ(providers.rfind(R"({"providers":[{"name":"arista","version":"99.1.2"},)", 0), 0u) << providers;
  EXPECT_EQ(count(providers, "\"name\""), 6u);
}

// --- Registration tokens

TEST(PlatformTokens, HoldWhatAClientNeeds) {
  TempDir data;
  const auto create = [&](const Argv& more, const std::string& space = "lab") {
    Argv args = {"--space", space, "--data", (data / "p").string()};
    args.insert(args.end(), more.begin(), more.end());
    const RunResult result = create_token(args);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.err, "");
    EXPECT_TRUE(matches(result.out, "[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]{128}\n"));
    return result.out;
  };
  const std::string token = create({"--expires", "2h", "--description", "for \"tests\"\nand more"});
  EXPECT_EQ(un_base64url(token.substr(0, token.find('.'))), R"({"alg":"ES384","typ":"JWT"})");
  EXPECT_EQ(claim(token, "iss"), "mondoo/ams");
  EXPECT_EQ(claim(token, "space"), "//captain.api.mondoo.app/spaces/lab");
  EXPECT_EQ(claim(token, "owner"), "//captain.api.mondoo.app/spaces/lab");
  EXPECT_TRUE(matches(claim(token, "jti"), "//captain.api.mondoo.app/spaces/lab/tokens/[0-9A-Za-z]{27}"));
  EXPECT_EQ(std::stol(claim(token, "exp")) - std::stol(claim(token, "iat")), 7200);
  EXPECT_EQ(claim(token, "nbf"), claim(token, "iat"));
  EXPECT_TRUE(matches(claim(token, "cert_valid_until"), "[0-9-]+T[0-9:]+Z"));
  EXPECT_TRUE(has(claims_of(token), R"("desc":"for \"tests\"\nand more")"));
  EXPECT_EQ(claim(token, "api_endpoint"), "");  // served nowhere yet
  EXPECT_EQ(claim(create({"--api-endpoint", "https://lab.example"}), "api_endpoint"), "https://lab.example");
  EXPECT_EQ(claim(create({}, "//captain.api.mondoo.app/spaces/lab"), "space"),
            "//captain.api.mondoo.app/spaces/lab");
}

TEST(PlatformTokens, NameWhereThePlatformWasServed) {
  Platform platform;
  EXPECT_EQ(claim(platform.token(), "api_endpoint"), platform.url());
  platform.stop();
  EXPECT_EQ(claim(platform.token(), "api_endpoint"), platform.url());
}

TEST(PlatformTokens, MayComeInTheBody) {
  Platform platform;
  Client client(platform);
  auto request = registration();
  request.set_token(platform.token());
  EXPECT_EQ(client.post("AgentManager/RegisterAgent", written(request, kJson)).status, 200);
  EXPECT_EQ(client.post("AgentManager/RegisterAgent", written(request, kProtobuf), kProtobuf).status, 200);
  // The header is what is believed when there are both.
  expect_unauthenticated(
      client.post("AgentManager/RegisterAgent", written(request, kJson), kJson, bearer("x")));
  expect_unauthenticated(client.post("AgentManager/RegisterAgent", written(request, kJson), kJson,
                                     {"Authorization: Basic eA=="}));
}

TEST(PlatformTokens, Refused) {
  Platform platform;
  Client client(platform);
  const auto attempt = [&](const std::string& token) {
    return client.post("AgentManager/RegisterAgent", "{}", kJson, token.empty() ? Headers{} : bearer(token));
  };
  expect_refused(attempt(platform.token("lab", {"--expires=-1h"})), 401, 16,
                 "the registration token has expired");
  expect_refused(attempt(platform.token("lab", {"--expires", "-1h"})), 401, 16, "has expired");
  const std::string revoked = platform.token();
  EXPECT_EQ(attempt(revoked).status, 200);  // once good is not always good
  platform.revoke(claim(revoked, "jti"));
  expect_refused(attempt(revoked), 401, 16, "the registration token was revoked");

  const std::string good = platform.token();
  expect_unauthenticated(attempt(""));
  expect_unauthenticated(attempt("nonsense"));
  expect_unauthenticated(attempt("a.b.c"));
  expect_unauthenticated(attempt(good + "A"));
  expect_unauthenticated(attempt(good.substr(0, good.size() - 8)));
  expect_unauthenticated(attempt(good + "." + good));
  expect_unauthenticated(attempt(good.substr(0, good.rfind('.') + 1)));

  const std::string header = R"({"alg":"ES384","typ":"JWT"})";
  const std::string claims = claims_of(good);
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = claims;
    return text.replace(text.find(from), from.size(), to);
  };
  const Key ours = key_from(read_file(platform.data() / "token.key"));
  EXPECT_EQ(attempt(signed_es384(ours, header, claims)).status,
            200);  // the refusals below are not for the key
  expect_unauthenticated(attempt(signed_es384(new_key("P-384"), header, claims)));
  expect_unauthenticated(
      attempt(signed_es384(ours, header, changed("spaces/test-space\"", "spaces/other\""))));
  expect_unauthenticated(attempt(signed_es384(ours, header, changed("/tokens/", "/tokens/x"))));
  expect_unauthenticated(attempt(signed_es384(ours, header, changed("mondoo/ams", "someone"))));
  expect_unauthenticated(attempt(signed_es384(ours, header, changed("\"exp\"", "\"exq\""))));
  expect_unauthenticated(attempt(signed_es384(ours, header, changed("\"jti\"", "\"jtj\""))));
  expect_refused(
      attempt(signed_es384(ours, header, changed("\"nbf\":" + claim(good, "nbf"), "\"nbf\":" + at(600)))),
      401, 16, "not valid yet");
  // The clock may have been set back since.
  EXPECT_EQ(
      attempt(signed_es384(ours, header, changed("\"nbf\":" + claim(good, "nbf"), "\"nbf\":" + at(200))))
          .status,
      200);
  expect_unauthenticated(attempt(base64url(R"({"alg":"none","typ":"JWT"})") + "." + base64url(claims) + "."));
  expect_unauthenticated(attempt(signed_es384(ours, R"({"alg":"HS256"})", claims)));
  expect_unauthenticated(attempt(signed_es384(ours, R"({"alg":"ES384","crit":["x"]})", claims)));
  expect_unauthenticated(attempt(signed_es384(ours, R"(["ES384"])", claims)));
  expect_unauthenticated(attempt(signed_es384(ours, header, "not json")));

  Platform other;
  expect_unauthenticated(attempt(other.token()));
  const RunResult end = platform.stop();
  EXPECT_TRUE(has(end.err, "names another space"));
  EXPECT_TRUE(lacks(end.err, good));
  EXPECT_TRUE(lacks(end.err, revoked));
}

// --- Requests signed by a service account

TEST(PlatformRequests, Refused) {
  Platform platform;
  Client client(platform);
  const Account account = registered(platform);
  const Account stranger = registered(platform, "other-space");
  const std::string body = "{}";
  const auto attempt = [&](const std::string& token) {
    return client.post("AgentManager/PingPong", body, kJson, bearer(token));
  };
  const auto with_header = [&](const Members& changes) { return attempt(account.token(body, changes)); };
  const auto with_claims = [&](const Members& changes) { return attempt(account.token(body, {}, changes)); };

  EXPECT_EQ(attempt(account.token(body)).status, 200);
  EXPECT_EQ(with_claims({{"extra", "[1]"}}).status, 200);
  // Five minutes of leeway either way.
  EXPECT_EQ(with_claims({{"iat", at(200)}, {"nbf", at(200)}, {"exp", at(260)}}).status, 200);
  EXPECT_EQ(with_claims({{"iat", at(-260)}, {"nbf", at(-260)}, {"exp", at(-200)}}).status, 200);

  expect_unauthenticated(client.post("AgentManager/PingPong", body));
  expect_unauthenticated(client.post("AgentManager/PingPong", body, kProtobuf));
  expect_unauthenticated(attempt(platform.token()));  // for registration alone
  expect_unauthenticated(
      client.post("AgentManager/PingPong", body, kJson, {"Authorization: " + account.token(body)}));

  expect_unauthenticated(with_header({{"alg", quoted("none")}}));
  expect_unauthenticated(with_header({{"alg", quoted("es384")}}));
  expect_unauthenticated(with_header({{"alg", quoted("ES256")}}));
  expect_unauthenticated(with_header({{"alg", ""}}));
  expect_unauthenticated(with_header({{"alg", "384"}}));
  expect_unauthenticated(with_header({{"kid", ""}}));
  expect_unauthenticated(with_header({{"kid", quoted(account.mrn + "x")}}));
  expect_unauthenticated(with_header({{"kid", quoted(stranger.mrn)}}));
  expect_unauthenticated(with_header({{"kid", quoted("' OR 1=1 --")}}));
  expect_unauthenticated(with_header({{"kid", quoted(account.agent)}}));

  expect_unauthenticated(with_claims({{"sub", quoted(stranger.mrn)}}));
  expect_unauthenticated(with_claims({{"sub", ""}}));
  expect_unauthenticated(with_claims({{"iss", quoted("mondoo")}}));
  expect_unauthenticated(with_claims({{"iss", ""}}));
  expect_unauthenticated(with_claims({{"iat", at(-1000)}, {"nbf", at(-1000)}, {"exp", at(-940)}}));
  expect_unauthenticated(with_claims({{"nbf", at(1000)}}));
  expect_unauthenticated(with_claims({{"iat", at(1000)}, {"exp", at(1060)}}));
  expect_unauthenticated(with_claims({{"exp", at(86400)}}));
  expect_unauthenticated(with_claims({{"exp", ""}}));
  expect_unauthenticated(with_claims({{"nbf", ""}}));
  expect_unauthenticated(with_claims({{"iat", ""}}));
  expect_unauthenticated(with_claims({{"exp", quoted(at(60))}}));
  expect_unauthenticated(with_claims({{"exp", "1e999"}}));
  expect_unauthenticated(with_claims({{"chash", ""}}));
  expect_unauthenticated(with_claims({{"chash", quoted(hex_sha256("{ }"))}}));

  const std::string header = object(account.header(), {});
  const std::string claims = object(account.claims(body), {});
  const std::string text = base64url(header) + "." + base64url(claims);
  expect_unauthenticated(attempt(signed_es384(new_key("P-384"), header, claims)));
  expect_unauthenticated(attempt(signed_es384(stranger.key, header, claims)));
  expect_unauthenticated(attempt(text + "."));
  expect_unauthenticated(attempt(text + "." + base64url(std::string(96, '\0'))));
  expect_unauthenticated(attempt(text + "." + base64url(std::string(96, '\xff'))));
  expect_unauthenticated(attempt(text + "." + base64url(ecdsa(new_key("P-256"), text, EVP_sha256(), 32))));
  expect_unauthenticated(attempt(text + "." + base64url(ecdsa(account.key, text, EVP_sha256(), 48))));
  const std::string none =
      base64url(object(account.header(), {{"alg", quoted("none")}})) + "." + base64url(claims);
  expect_unauthenticated(attempt(none + "."));
  // The classic: HMAC with the public key as its secret.
  unsigned char* der = nullptr;
  const int der_size = i2d_PUBKEY(account.key.get(), &der);
  const std::string hs =
      base64url(object(account.header(), {{"alg", quoted("HS256")}})) + "." + base64url(claims);
  unsigned char mac[32];
  HMAC(EVP_sha256(), der, der_size, reinterpret_cast<const unsigned char*>(hs.data()), hs.size(), mac,
       nullptr);
  OPENSSL_free(der);
  expect_unauthenticated(
      attempt(hs + "." + base64url(std::string(reinterpret_cast<char*>(mac), sizeof mac))));

  EXPECT_EQ(attempt(account.token(body)).status, 200);
  platform.revoke(account.mrn);
  expect_unauthenticated(attempt(account.token(body)));
  EXPECT_EQ(ping(platform, stranger), 200);
  EXPECT_TRUE(has(platform.stop().err, "the service account was revoked"));
}

TEST(PlatformRequests, EveryMethodButHealthWantsASignature) {
  Platform platform;
  Client client(platform);
  for (const char* method : {"PingPong", "HealthCheck", "UnRegisterAgent", "RegisterAgent"}) {
    expect_unauthenticated(client.post(std::string("AgentManager/") + method, "{}"));
    expect_unauthenticated(client.post(std::string("AgentManager/") + method, "", kProtobuf));
  }
}

TEST(PlatformRequests, AnAgentIsItsServiceAccountsOwn) {
  Platform platform;
  Client client(platform);
  const Account one = registered(platform);
  const Account neighbour = registered(platform);
  const Account stranger = registered(platform, "other-space");
  const auto unregister = [&](const std::string& mrn) {
    return signed_post(client, one, "AgentManager/UnRegisterAgent", "{\"mrn\":" + quoted(mrn) + "}");
  };
  expect_refused(unregister(neighbour.agent), 403, 7, "another service account");
  expect_refused(unregister(stranger.agent), 404, 5, "there is no agent");
  expect_refused(unregister("//nobody"), 404, 5, "there is no agent //nobody");
  expect_refused(unregister(""), 400, 3, "mrn is missing");
  expect_refused(
      signed_post(client, one, "AgentManager/HealthCheck", "{\"mrn\":" + quoted(neighbour.agent) + "}"), 403,
      7, "");
  EXPECT_EQ(ping(platform, neighbour), 200);
  EXPECT_EQ(ping(platform, stranger), 200);
  EXPECT_EQ(unregister(one.agent).status, 200);
  expect_unauthenticated(unregister(one.agent));
}

TEST(PlatformRequests, RegisteringAgainWithAServiceAccount) {
  Platform platform;
  Client client(platform);
  const Account account = registered(platform);
  auto request = registration();
  const auto again = [&] {
    const Reply reply =
        signed_post(client, account, "AgentManager/RegisterAgent", written(request, kProtobuf), kProtobuf);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return parsed<api::AgentRegistrationConfirmation>(reply);
  };
  const auto same = again();
  EXPECT_EQ(same.agent_mrn(), account.agent);
  EXPECT_FALSE(same.has_credential());
  request.mutable_agent_info()->set_platform_id("//platformid/machine-2");
  const std::string second = again().agent_mrn();
  EXPECT_NE(second, account.agent);

  // The account lives as long as one of its agents does.
  platform.revoke(account.agent);
  EXPECT_EQ(ping(platform, account), 200);
  platform.revoke(second);
  EXPECT_EQ(ping(platform, account), 401);
  expect_unauthenticated(signed_post(client, account, "AgentManager/RegisterAgent", "{}"));
}

TEST(PlatformRequests, AMachineThatRegistersManyTimesAtOnceIsOneAgent) {
  Platform platform;
  const Account account = registered(platform);
  auto request = registration();
  request.mutable_agent_info()->set_platform_id("//platformid/machine-2");
  const std::string body = written(request, kProtobuf);
  std::vector<std::string> mrns(16);
  std::vector<std::thread> threads;
  for (std::string& mrn : mrns) {
    threads.emplace_back([&] {
      Client client(platform);
      const Reply reply = signed_post(client, account, "AgentManager/RegisterAgent", body, kProtobuf);
      EXPECT_EQ(reply.status, 200) << reply.body;
      mrn = parsed<api::AgentRegistrationConfirmation>(reply).agent_mrn();
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(mrns, std::vector<std::string>(mrns.size(), mrns.front()));
}

// --- What lasts

TEST(PlatformStore, ARestartKeepsRegistrationsAndRevocations) {
  Platform platform;
  const Account kept = registered(platform);
  const Account revoked = registered(platform);
  const std::string token = platform.token();
  platform.revoke(revoked.mrn);
  const std::string ca = read_file(platform.ca_file());
  platform.restart();
  EXPECT_EQ(read_file(platform.ca_file()), ca);
  EXPECT_EQ(ping(platform, kept), 200);
  EXPECT_EQ(ping(platform, revoked), 401);
  Client client(platform);
  EXPECT_EQ(client.post("AgentManager/RegisterAgent", "{}", kJson, bearer(token)).status, 200);
}

TEST(PlatformStore, KillingItLosesNoConfirmedRegistration) {
  Platform platform;
  std::vector<Account> accounts;
  for (int round = 0; round < 3; ++round) {
    accounts.push_back(registered(platform));
    platform.process().kill();
    platform.restart();
    for (const Account& account : accounts) EXPECT_EQ(ping(platform, account), 200);
  }
}

TEST(PlatformStore, ManyProcessesAtOnce) {
  Platform platform;
  std::vector<std::thread> threads;
  std::vector<long> statuses(6, 0);
  for (std::size_t i = 0; i < statuses.size(); ++i) {
    threads.emplace_back([&, i] {
      Client client(platform);
      const std::string token = platform.token("space-" + std::to_string(i));
      statuses[i] = client.post("AgentManager/RegisterAgent", "{}", kJson, bearer(token)).status;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(statuses, std::vector<long>(6, 200));
}

TEST(PlatformStore, ManyProcessesMakeOneFolder) {
  TempDir folder;
  const std::string data = (folder / "new/data").string();
  std::vector<std::thread> threads;
  std::vector<RunResult> results(4);
  for (RunResult& result : results) {
    threads.emplace_back([&] { result = create_token({"--space", "s", "--data", data}); });
  }
  for (auto& thread : threads) thread.join();
  for (const RunResult& result : results) EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(count(cli({"list", "--data", data}).out, "/tokens/"), 4u);
}

TEST(PlatformStore, TheFolderIsTheOwnersAlone) {
  TempDir folder;
  fs::create_directory(folder / "open");
  fs::permissions(folder / "open", fs::perms::all);
  ASSERT_EQ(create_token({"--space", "s", "--data", (folder / "open").string()}).exit_code, 0);
  const auto mode = [](const fs::path& path) {
    struct stat info {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0);
    return info.st_mode & 0777;
  };
  EXPECT_EQ(mode(folder / "open"), 0700u);
  Platform platform;
  registered(platform);
  for (const auto& file : fs::directory_iterator(platform.data()))
    EXPECT_EQ(mode(file.path()), 0600u) << file;
}

TEST(PlatformStore, ListShowsWhatThereIs) {
  Platform platform;
  const Account account = registered(platform, "one");
  platform.token("two", {"--expires=-1h", "--description", "tab\there"});
  const std::string data = platform.data().string();
  const std::string text = cli({"list", "--data", data}).out;
  EXPECT_TRUE(has(text, "agent\t" + account.agent + "\t" + account.mrn +
                            "\tweb-1\t13.4.1\tdebian 12\tweb-1.example\t192.0.2.7\n"));
  EXPECT_TRUE(has(text, "service account\t" + account.mrn + "\tvalid\n"));
  EXPECT_TRUE(has(text, "\texpired\ttab\\there\n"));
  const std::string json = cli({"list", "--space", "two", "-o", "json", "--data", data}).out;
  EXPECT_TRUE(has(json, "\"description\": \"tab\\there\""));
  EXPECT_TRUE(has(json, "\"agents\": []"));
  platform.revoke(account.mrn);
  EXPECT_TRUE(has(cli({"list", "--data", data}).out, "service account\t" + account.mrn + "\trevoked\n"));
}

// --- Bad manners on the network

TEST(PlatformNetwork, KeepsConnectionsAlive) {
  Platform platform;
  Client client(platform);
  EXPECT_EQ(client.post("Health/Check", "{}").status, 200);
  EXPECT_EQ(client.connections_made(), 1);
  EXPECT_EQ(client.post("Health/Check", "").status, 400);
  EXPECT_EQ(client.request("HEAD", "/mql/latest.json").status, 200);
  EXPECT_EQ(client.post("AgentManager/PingPong", "{}").status, 401);
  EXPECT_EQ(client.connections_made(), 0);
}

TEST(PlatformNetwork, ChunkedBodiesAndContinue) {
  Platform platform;
  TlsSocket socket(platform);
  socket.send(
      "POST /Health/Check HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: "
      "chunked\r\n"
      "Expect: 100-continue\r\n\r\n");
  EXPECT_TRUE(has(socket.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue"));
  socket.send("1\r\n{\r\n1\r\n}\r\n0\r\n\r\n");
  EXPECT_TRUE(has(socket.read_until("SERVING"), "HTTP/1.1 200 OK"));
}

TEST(PlatformNetwork, Http10AndPipelining) {
  Platform platform;
  TlsSocket old(platform);
  old.send("GET /cnspec/latest.json HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(has(old.read_to_end(), "HTTP/1.0 200 OK"));

  TlsSocket socket(platform);
  const std::string get = "GET /cnspec/latest.json HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::string post =
      "POST /AgentManager/PingPong HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
      "2\r\n\r\n{}";
  socket.send(get + post + get + "GET /mql/latest.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string text = socket.read_to_end();
  EXPECT_EQ(count(text, "HTTP/1.1 200 OK"), 3u) << text;
  EXPECT_EQ(count(text, "HTTP/1.1 401 Unauthorized"), 1u) << text;
  EXPECT_LT(text.find("200 OK"), text.find("401 Unauthorized"));
}

TEST(PlatformNetwork, MalformedAndOversizeRequests) {
  Platform platform;
  const auto answer = [&](const std::string& request) {
    TlsSocket socket(platform);
    socket.send(request);
    return socket.read_to_end();
  };
  EXPECT_TRUE(has(answer("garbage\r\n\r\n"), "HTTP/1.1 400 Bad Request"));
  EXPECT_TRUE(has(answer(std::string("\0\1\2\3\r\n\r\n", 8)), "malformed HTTP request"));
  EXPECT_TRUE(has(answer("GET / HTTP/9.9\r\n\r\n"), "HTTP/1.1 400 Bad Request"));
  EXPECT_TRUE(
      has(answer("POST /Health/Check HTTP/1.1\r\nContent-Length: -5\r\n\r\n"), "HTTP/1.1 400 Bad Request"));
  EXPECT_TRUE(has(answer("POST /Health/Check HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
                  "HTTP/1.1 400 Bad Request"));
  EXPECT_TRUE(has(answer("GET /" + std::string(20000, 'a') + " HTTP/1.1\r\n\r\n"), "HTTP/1.1 431 "));
  EXPECT_TRUE(
      has(answer("GET / HTTP/1.1\r\nX: " + std::string(100000, 'a') + "\r\n\r\n"), "larger than 16 KiB"));

  const std::string begin = "POST /Health/Check HTTP/1.1\r\nContent-Type: application/json\r\n";
  const std::string large = "Content-Length: 2000000\r\n\r\n";
  EXPECT_TRUE(has(answer(begin + large), "larger than 1 MiB"));
  EXPECT_TRUE(lacks(answer(begin + "Expect: 100-continue\r\n" + large), "100 Continue"));
  EXPECT_TRUE(has(answer(begin + "Content-Length: 99999999999999999999999\r\n\r\n"), "HTTP/1.1 4"));
  // Also when all of it comes before the answer is read: it must not be lost in a reset connection.
  EXPECT_TRUE(has(answer(begin + large + std::string(2000000, 'x')), "HTTP/1.1 413 "));
  std::string chunks;
  for (int i = 0; i < 20; ++i) chunks += "10000\r\n" + std::string(0x10000, ' ') + "\r\n";
  EXPECT_TRUE(has(answer(begin + "Transfer-Encoding: chunked\r\n\r\n" + chunks), "HTTP/1.1 413 "));

  Client client(platform);
  EXPECT_EQ(client.post("Health/Check", "{" + std::string((1 << 20) - 2, ' ') + "}").status,
            200);  // exactly 1 MiB
}

TEST(PlatformNetwork, WhoDoesNotSpeakTlsIsLeftAlone) {
  Platform platform;
  Socket plain(platform);
  plain.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(plain.closed());
  Socket gone(platform);
  Client client(platform);
  EXPECT_EQ(client.post("Health/Check", "{}").status, 200);
}

TEST(PlatformNetwork, SlowClientsHarmNobodyElse) {
  Platform platform({"--request-timeout", "2s"});
  Socket silent(platform);  // never begins its handshake
  TlsSocket header(platform);
  header.send("G");
  TlsSocket body(platform);
  body.send("POST /Health/Check HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{");
  Client client(platform);
  EXPECT_EQ(client.post("Health/Check", "{}").status, 200);
  EXPECT_TRUE(has(header.read_to_end(), "HTTP/1.1 408 Request Timeout"));
  EXPECT_TRUE(has(body.read_to_end(), "was not complete in time"));
  EXPECT_TRUE(silent.closed());
  EXPECT_EQ(client.post("Health/Check", "{}").status, 200);
}

TEST(PlatformNetwork, AClientThatWaitsMakesWayForANewOne) {
  Platform platform({"--max-connections", "4", "--request-timeout", "1h"});
  std::vector<std::unique_ptr<Socket>> silent;
  for (int i = 0; i < 12; ++i) silent.push_back(std::make_unique<Socket>(platform));
  Client client(platform);
  EXPECT_EQ(client.post("Health/Check", "{}").status, 200);
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(silent[static_cast<std::size_t>(i)]->closed());
}

TEST(PlatformNetwork, OnlyModernTls) {
  Platform platform;
  const RunResult old = run(
      {"openssl", "s_client", "-connect", platform.url().substr(8), "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"});
  EXPECT_NE(old.exit_code, 0);
  const RunResult now =
      run({"openssl", "s_client", "-connect", platform.url().substr(8), "-tls1_2", "-CAfile",
           platform.ca_file(), "-verify_return_error", "-verify_ip", "127.0.0.1"});
  EXPECT_EQ(now.exit_code, 0) << now.err;
}

// --- Faults on demand

TEST(PlatformFaults, FailWithACode) {
  Platform platform({"--fail", "AgentManager/PingPong=Unauthenticated", "--fail", "Health/Check=Unavailable",
                     "--fail", "latest.json=NotFound", "--fail", "providers/latest.json=Internal"});
  Client client(platform);
  expect_unauthenticated(client.post("AgentManager/PingPong", "{}"));
  expect_unauthenticated(client.post("AgentManager/PingPong", "", kProtobuf));
  expect_refused(client.post("Health/Check", "{}"), 503, 14, "failed on demand");
  EXPECT_EQ(client.get("/cnspec/latest.json").status, 404);
  EXPECT_EQ(client.get("/mql/latest.json").status, 404);
  EXPECT_EQ(client.get("/providers/latest.json").status, 500);
  expect_refused(client.post("AgentManager/HealthCheck", "{}"), 401, 16, "");
}

TEST(PlatformFaults, EveryCodeHasItsStatus) {
  const std::vector<std::pair<std::string, long>> codes = {
      {"Canceled", 408},         {"Unknown", 500},           {"InvalidArgument", 400},
      {"DeadlineExceeded", 504}, {"NotFound", 404},          {"AlreadyExists", 409},
      {"PermissionDenied", 403}, {"ResourceExhausted", 429}, {"FailedPrecondition", 412},
      {"Aborted", 409},          {"OutOfRange", 500},        {"Unimplemented", 501},
      {"Internal", 500},         {"Unavailable", 503},       {"DataLoss", 500},
      {"Unauthenticated", 401}};
  Platform platform;
  int number = 0;
  for (const auto& [name, status] : codes) {
    platform.restart({"--fail", "*=" + name});
    Client client(platform);
    expect_refused(client.post("Health/Check", "{}"), status, ++number, "");
  }
}

TEST(PlatformFaults, FailInOtherWays) {
  Platform platform({"--fail", "Health/Check=html", "--fail", "AgentManager/PingPong=garbage", "--fail",
                     "latest.json=hangup"});
  Client client(platform);
  const Reply html = client.post("Health/Check", "{}");
  EXPECT_EQ(html.status, 502);
  EXPECT_EQ(html.type, "text/html");
  const Reply garbage = client.post("AgentManager/PingPong", "{}");
  EXPECT_EQ(garbage.status, 200);
  EXPECT_FALSE(api::Empty().ParseFromString(garbage.body));
  EXPECT_THROW(client.get("/cnspec/latest.json"), std::runtime_error);
}

TEST(PlatformFaults, ADelayHoldsUpItsMethodAlone) {
  Platform platform({"--delay", "Health/Check=24h", "--delay", "mql/latest.json=10ms"});
  TlsSocket delayed(platform);
  delayed.send("POST /Health/Check HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  Client client(platform);
  EXPECT_EQ(client.get("/cnspec/latest.json").status, 200);
  EXPECT_EQ(client.get("/mql/latest.json").status, 200);
  EXPECT_EQ(ping(platform, registered(platform)), 200);
  EXPECT_EQ(platform.stop().exit_code, 0);  // and a delay does not hold up the end
  EXPECT_EQ(delayed.read_to_end(), "");
}

TEST(PlatformFaults, ClockSkewIsReportedAndNothingElse) {
  const auto reported = [](const Platform& platform) {
    Client client(platform);
    const std::string time = parsed<api::HealthCheckResponse>(client.post("Health/Check", "{}")).time();
    std::tm parts{};
    strptime(time.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return timegm(&parts) - std::time(nullptr);
  };
  Platform platform({"--clock-skew", "72h"});
  const long ahead = 72 * 3600;
  EXPECT_NEAR(static_cast<double>(reported(platform)), static_cast<double>(ahead), 60);
  EXPECT_EQ(ping(platform, registered(platform)), 200);
  platform.restart({"--clock-skew", "-10m"});
  EXPECT_NEAR(static_cast<double>(reported(platform)), -600, 60);
  platform.restart({"--clock-skew=-1h30m"});
  EXPECT_NEAR(static_cast<double>(reported(platform)), -5400, 60);
}

// --- The command line

TEST(PlatformCommand, ServeSaysWhereItIsAndEndsWhenTold) {
  for (const int signal : {SIGTERM, SIGINT}) {
    Platform platform;
    EXPECT_TRUE(matches(platform.url(), "https://127\\.0\\.0\\.1:[0-9]+"));
    EXPECT_EQ(platform.ca_file(), (platform.data() / "ca.pem").string());
    Client idle(platform);
    EXPECT_EQ(idle.post("Health/Check", "{}").status, 200);
    platform.process().signal(signal);
    const RunResult end = platform.process().wait();
    EXPECT_EQ(end.exit_code, 0) << end.err;
    EXPECT_EQ(end.out, "url: " + platform.url() + "\nca: " + platform.ca_file() + "\n");
    EXPECT_TRUE(has(end.err, "no production service"));
  }
}

TEST(PlatformCommand, AccessLogHasNoSecrets) {
  Platform platform({"--access-log"});
  Client client(platform);
  const Account account = registered(platform);
  const std::string token = account.token("{}");
  EXPECT_EQ(client.post("AgentManager/PingPong", "{}", kJson, bearer(token)).status, 200);
  TlsSocket socket(platform);
  socket.send("POST /No\x80\"thing HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  EXPECT_TRUE(has(socket.read_to_end(), "501 Not Implemented"));
  const std::string log = platform.stop().err;
  EXPECT_TRUE(has_match(log, "POST /AgentManager/PingPong 200 OK [0-9]+ms by " + account.mrn));
  EXPECT_TRUE(has(log, "POST /No\\x80\"thing 501"));
  EXPECT_TRUE(lacks(log, "Bearer"));
  EXPECT_TRUE(lacks(log, token));
  EXPECT_TRUE(lacks(log, "PRIVATE KEY"));
}

TEST(PlatformCommand, ListensOnIpv6AndNames) {
  for (const char* listen : {"[::1]:0", "localhost:0"}) {
    TempDir data;
    Process process = Process::start(
        {program("cnspec-platform"), "serve", "--listen", listen, "--data", data.path().string()});
    const std::string url = process.read_line().value_or("").substr(5);
    const std::string host(listen, std::string(listen).size() - 2);
    EXPECT_EQ(url.rfind("https://" + host, 0), 0u) << url;
    const RunResult checked =
        run({"openssl", "s_client", "-connect", url.substr(8), "-CAfile", (data / "ca.pem").string(),
             "-verify_return_error", host == "localhost:" ? "-verify_hostname" : "-verify_ip",
             host == "localhost:" ? "localhost" : "::1"});
    EXPECT_EQ(checked.exit_code, 0) << checked.err;
  }
}

TEST(PlatformCommand, OnAllAddressesItGoesByTheMachinesName) {
  TempDir data;
  Process process = Process::start(
      {program("cnspec-platform"), "serve", "--listen", "0.0.0.0:0", "--data", data.path().string()});
  const std::string url = process.read_line().value_or("");
  process.read_line();
  char name[256] = {};
  ASSERT_EQ(::gethostname(name, sizeof name - 1), 0);
  EXPECT_TRUE(matches(url, "url: https://" + std::string(name) + ":[0-9]+"));
  const RunResult checked =
      run({"openssl", "s_client", "-connect", "127.0.0.1" + url.substr(url.rfind(':')), "-CAfile",
           (data / "ca.pem").string(), "-verify_return_error", "-verify_hostname", name});
  EXPECT_EQ(checked.exit_code, 0) << checked.err;
}

TEST(PlatformCommand, WrongUsageIsExplained) {
  TempDir folder;
  const std::string data = (folder / "data").string();
  const std::vector<std::pair<Argv, std::string>> cases = {
      {{},
       "there is no command; the commands are: serve, token create, ssh-key add, issuer add, revoke, list"},
      {{"sing"}, "sing"},
      {{"serve", "--nothing"}, "--nothing"},
      {{"serve", "--listen", "8443"}, "cannot listen on \"8443\": expected HOST:PORT"},
      {{"serve", "--listen", "127.0.0.1:99999"}, "the port must be 0 to 65535"},
      {{"serve", "--listen", "127.0.0.1:"}, "the port must be 0 to 65535"},
      {{"serve", "--listen", "::1:80"}, "expected HOST:PORT"},
      {{"serve", "--listen", "a,DNS:b:80"}, "expected HOST:PORT"},
      {{"serve", "--clock-skew", "soon"}, "\"soon\" is no duration; write it like 500ms"},
      {{"serve", "--clock-skew", "5"}, "\"5\" is no duration"},
      {{"serve", "--clock-skew", "99999999h"}, "longer than a hundred years"},
      {{"serve", "--clock-skew", "99999999999999999999h"}, "no duration"},
      {{"serve", "--clock-skew", ""}, "no duration"},
      {{"serve", "--delay", "Health/Check"}, "not of the form METHOD=DURATION"},
      {{"serve", "--delay", "Health/Check=-1s"}, "cannot be negative"},
      {{"serve", "--delay", "Health/Chek=1s"}, "did you mean Health/Check?"},
      {{"serve", "--fail", "Health/Check=unavailable"}, "\"unavailable\" is no code to fail with"},
      {{"serve", "--fail", "Health/Check=OK"}, "is no code to fail with"},
      {{"serve", "--fail", "=Unavailable"}, "not of the form METHOD=CODE"},
      {{"serve", "--request-timeout", "0"}, "--request-timeout"},
      {{"serve", "--max-connections", "0"}, "--max-connections"},
      {{"serve", "--registry", ""}, "--registry \"\": No such file or directory"},
      {{"serv"}, "unexpected argument serv (did you mean serve?)"},
      {{"serve", "--lissten", "x:0"}, "unexpected argument --lissten (did you mean --listen?)"},
      {{"serve", "now"}, "unexpected argument now"},
      {{"token"}, "there is no command; the commands are: token create"},
      {{"token", "create"}, "--space is required"},
      {{"token", "create", "--space", ""}, "\"\" is no space"},
      {{"token", "create", "--space", "a/b"}, "\"a/b\" is no space"},
      {{"token", "create", "--space", "s", "--expires", "1 hour"}, "no duration"},
      {{"token", "create", "--space", "s", "--description", "\xff"}, "not UTF-8"},
      {{"token", "create", "--space", "s", "--api-endpoint", "somewhere"},
       "--api-endpoint must begin with https:// or http://, found somewhere"},
      {{"issuer", "add", "--space", "s", "--keys", "/none", "--issuer", "", "--audience", "a"},
       "--issuer names nobody"},
      {{"issuer", "add", "--space", "s", "--keys", "/none", "--issuer", "i", "--audience", ""},
       "--audience names nobody"},
      {{"revoke"}, "MRN is required"},
      {{"list", "-o", "xml"}, "--output"},
      {{"list", "--space", "?"}, "\"?\" is no space"},
  };
  for (const auto& [args, message] : cases) {
    Argv argv = args;
    if (argv.size() > 1 && argv[0] != "token") argv.insert(argv.end(), {"--data", data});
    if (argv.size() > 2 && argv[0] == "token") argv.insert(argv.end(), {"--data", data});
    const RunResult result = cli(argv);
    EXPECT_EQ(result.exit_code, 2) << message << result.err;
    EXPECT_TRUE(has(result.err, message));
    EXPECT_EQ(result.out, "") << message;
  }
  EXPECT_FALSE(fs::exists(data));
  EXPECT_EQ(cli({"list", "--data", ""}).exit_code, 2);
  for (const Argv& help : {Argv{"--help"}, Argv{"serve", "--help"}, Argv{"token", "create", "--help"}}) {
    EXPECT_EQ(cli(help).exit_code, 0);
  }
  EXPECT_TRUE(has(cli({"--help"}).out, "no production service"));
}

// One line, and exit 1.
void expect_failure(const Argv& args, const std::string& message, const ProcessOptions& options = {}) {
  const RunResult result = cli(args, options);
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(count(result.err, "\n"), 1u) << result.err;
  EXPECT_TRUE(has(result.err, message));
}

TEST(PlatformCommand, FailuresAreOneLine) {
  Platform platform;
  const std::string used = platform.url().substr(8);
  TempDir folder;
  const std::string data = (folder / "data").string();
  expect_failure({"serve", "--listen", used, "--data", data},
                 "cannot listen on " + used + ": Address already in use");
  expect_failure({"serve", "--listen", "192.0.2.1:0", "--data", data}, "cannot listen on 192.0.2.1:0: ");
  expect_failure({"serve", "--listen", "127.0.0.1:0", "--data", platform.data().string()},
                 "another cnspec-platform");
  expect_failure({"revoke", "//nothing", "--data", data}, "there is nothing called //nothing");
  expect_failure({"revoke", "//nothing", "--data", (folder / "no").string()}, "no platform's data in");
  expect_failure({"list", "--data", (folder / "no").string()}, "no platform's data in");
  EXPECT_FALSE(fs::exists(folder / "no"));

  const std::string file = folder.write("file", "x").string();
  expect_failure({"serve", "--listen", "127.0.0.1:0", "--data", file}, file);
  expect_failure({"serve", "--listen", "127.0.0.1:0", "--data", file + "/below"},
                 "cannot make the data folder");
  expect_failure({"serve", "--listen", "127.0.0.1:0", "--data", "/proc/nothing/here"},
                 "cannot make the data folder");
  expect_failure({"token", "create", "--space", "s", "--data", folder.path().string()},
                 "holds something else");
  expect_failure({"token", "create", "--space", "s"}, "HOME is not set", home_is(std::nullopt));
  expect_failure({"revoke", "", "--data", platform.data().string()}, "there is nothing called \"\"");
}

// As an operator's shell has it before it starts the platform, such as "ulimit -f 1" or "exec 2>&-".
Argv after(const std::string& commands, const Argv& args) {
  Argv argv = {"/bin/sh", "-c", commands + "; exec \"$0\" \"$@\"", program("cnspec-platform")};
  argv.insert(argv.end(), args.begin(), args.end());
  return argv;
}

TEST(PlatformCommand, AFullDiskIsNamedAndLosesNothing) {
  TempDir folder;
  const std::string data = (folder / "data").string();
  const Argv serve = {"serve", "--listen", "127.0.0.1:0", "--data", data};
  std::vector<const char*> limits = {"ulimit -f 1", "ulimit -f 20"};
#if !defined(__SANITIZE_THREAD__)  // whose runtime writes a file before the program begins
  limits.push_back("ulimit -f 0");
#endif
  for (const char* limit : limits) {
    const RunResult result = test::run(after(limit, serve));
    EXPECT_EQ(result.exit_code, 1) << result.signal << result.err;
    EXPECT_TRUE(has(result.err, ": File too large\n"));
  }
  const RunResult made = create_token({"--space", "s", "--data", data});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(count(cli({"list", "--data", data}).out, "valid"), 1u);
  const Argv create = {"token", "create", "--space", "s", "--data", data};
  for (const char* output : {"exec >/dev/full", "exec >&-"}) {
    const RunResult unsaid = test::run(after(output, create));
    EXPECT_EQ(unsaid.exit_code, 1);
    EXPECT_EQ(unsaid.err, "x cannot write to standard output\n");
  }
}

TEST(PlatformCommand, ClosedStandardErrorIsNoFileOfOurs) {
  TempDir folder;
  const std::string data = (folder / "data").string();
  Process server = Process::start(
      after("exec 2>&-", {"serve", "--listen", "127.0.0.1:0", "--data", data, "--access-log"}));
  EXPECT_TRUE(server.read_line());
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait().exit_code, 0);
  EXPECT_EQ(read_file(folder / "data/.serve.lock"), "");
}

TEST(PlatformCommand, ConnectionsFitTheLimitOfOpenFiles) {
  TempDir folder;
  const Argv serve = {"serve", "--listen", "127.0.0.1:0", "--data", (folder / "data").string()};
  const RunResult none = test::run(after("ulimit -n 64", serve));
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_TRUE(has(none.err, "the limit of open files leaves no room for connections"));
  Process some = Process::start(after("ulimit -n 150", serve));
  EXPECT_TRUE(some.wait_for_err("the limit of open files leaves room for 50 connections, not for 256\n"));
  some.read_line();
  some.signal(SIGTERM);
  EXPECT_EQ(some.wait().exit_code, 0);
}

TEST(PlatformCommand, BrokenDataIsNamed) {
  const auto broken = [](const std::string& name, const std::string& text, const std::string& message) {
    TempDir folder;
    const std::string data = (folder / "data").string();
    Process first =
        Process::start({program("cnspec-platform"), "serve", "--listen", "127.0.0.1:0", "--data", data});
    first.read_line();
    first.signal(SIGTERM);
    EXPECT_EQ(first.wait().exit_code, 0);
    if (text.empty()) {
      fs::remove(folder / ("data/" + name));
    } else {
      folder.write("data/" + name, text);
    }
    expect_failure({"serve", "--listen", "127.0.0.1:0", "--data", data}, message);
    EXPECT_TRUE(text.empty() ||
                read_file(folder / ("data/" + name)) == text);  // left as it was, to be looked at
  };
  broken("token.key", "nonsense", "token.key: not a private key in PEM");
  broken("ca.key", "nonsense", "ca.key: not a private key in PEM");
  broken("ca.key", "", "ca.key: no such file, though ca.pem is there");
  broken("ca.pem", "nonsense", "ca.pem: not a certificate in PEM");
  broken("platform.db", std::string(5000, 'x'), "file is not a database");
  broken("ca.key", pem_of(new_key("P-256")), "ca.key does not belong to ");
  broken("token.key", pem_of(new_key("P-256")),
         "token.key: expected a key of the curve P-384, found another");
  broken("token.key", pem_of(new_key("P-384"), "hunter2"), "token.key: the private key is encrypted");
  broken("token.key", std::string(2 << 20, 'x'), "token.key: has more than 1048576 bytes");
}

TEST(PlatformCommand, AnotherDatabaseIsLeftAlone) {
  TempDir folder;
  const std::string data = (folder / "data").string();
  const Argv serve = {"serve", "--listen", "127.0.0.1:0", "--data", data};
  EXPECT_EQ(create_token({"--space", "s", "--data", data}).exit_code, 0);
  const std::string good = read_file(folder / "data/platform.db");
  ASSERT_GT(good.size(), 64u);
  const auto with_version = [&](std::string bytes, const std::string& version) {
    folder.write("data/platform.db", bytes.replace(60, 4, version));
  };
  with_version(good, std::string("\0\0\0\x63", 4));
  expect_failure(serve, "platform.db failed: it was written by a newer version of this program");
  for (const std::string& version : {std::string(4, '\0'), std::string(4, '\xff')}) {
    with_version(good, version);
    expect_failure(serve, "platform.db failed: it was written by another program");
  }
  folder.write("data/platform.db", good.substr(0, good.size() / 2));
  expect_failure({"list", "--data", data}, "database disk image is malformed");
  folder.write("data/platform.db", good);
  EXPECT_EQ(count(cli({"list", "--data", data}).out, "valid"), 1u);
}

TEST(PlatformCommand, AFifoForAKeyIsNotWaitedFor) {
  TempDir folder;
  const std::string data = (folder / "data").string();
  fs::create_directory(data);
  ASSERT_EQ(::mkfifo((data + "/token.key").c_str(), 0600), 0);
  folder.write("data/.setup.lock", "");
  expect_failure({"token", "create", "--space", "s", "--data", data},
                 "token.key: expected a regular file, found a FIFO");
}

TEST(PlatformCommand, DataIsAtHomeUnlessSaid) {
  TempDir home;
  const RunResult result = create_token({"--space", "s"}, home_is(home.path().string()));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(fs::exists(home / ".local/share/cnspec-platform/platform.db"));
}

}  // namespace
}  // namespace cnspec::test
