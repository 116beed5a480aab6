#include "store.hpp"

#include <sqlite3.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace cnspec::platform {
namespace {

constexpr int kSchemaVersion = 2;
constexpr int kBusyMilliseconds = 10000;

// What each version added to the one before.
constexpr std::array<const char*, kSchemaVersion> kSchema = {R"(
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE spaces (id TEXT PRIMARY KEY, created INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE tokens (
  mrn TEXT PRIMARY KEY, space TEXT NOT NULL REFERENCES spaces, description TEXT NOT NULL,
  created INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER) WITHOUT ROWID;
CREATE TABLE service_accounts (
  mrn TEXT PRIMARY KEY, space TEXT NOT NULL REFERENCES spaces, public_key BLOB NOT NULL,
  created INTEGER NOT NULL, revoked INTEGER) WITHOUT ROWID;
CREATE TABLE agents (
  mrn TEXT PRIMARY KEY, space TEXT NOT NULL REFERENCES spaces,
  service_account TEXT NOT NULL REFERENCES service_accounts, name TEXT NOT NULL, version TEXT NOT NULL,
  platform TEXT NOT NULL, hostname TEXT NOT NULL, ip TEXT NOT NULL, platform_id TEXT NOT NULL,
  created INTEGER NOT NULL, seen INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX agents_by_account ON agents (service_account, platform_id);
)",
                                                             R"(
CREATE TABLE ssh_keys (
  service_account TEXT NOT NULL REFERENCES service_accounts, fingerprint TEXT NOT NULL, blob BLOB NOT NULL,
  comment TEXT NOT NULL, PRIMARY KEY (service_account, fingerprint)) WITHOUT ROWID;
CREATE TABLE issuers (
  service_account TEXT PRIMARY KEY REFERENCES service_accounts, uri TEXT NOT NULL, audience TEXT NOT NULL,
  subject TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX issuers_by_uri ON issuers (uri);
CREATE TABLE issuer_keys (service_account TEXT NOT NULL REFERENCES issuers, kid TEXT NOT NULL, der BLOB NOT NULL);
CREATE INDEX issuer_keys_by_account ON issuer_keys (service_account);
CREATE TABLE lent_keys (
  service_account TEXT NOT NULL REFERENCES service_accounts, public_key BLOB NOT NULL, expires INTEGER NOT NULL);
CREATE INDEX lent_keys_by_account ON lent_keys (service_account);
CREATE INDEX lent_keys_by_expiry ON lent_keys (expires);
)"};

constexpr char kTokens[] = "SELECT mrn, space, description, created, expires, revoked FROM tokens ";
constexpr char kAccounts[] = "SELECT mrn, space, public_key, created, revoked FROM service_accounts ";
constexpr char kAgents[] =
    "SELECT mrn, space, service_account, name, version, platform, hostname, ip, platform_id, created, seen "
    "FROM agents ";
constexpr char kOfSpace[] = "WHERE ?1 = '' OR space = ?1 ORDER BY space, created, mrn";

// Thrown and caught in this file alone.
struct DatabaseError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

[[noreturn]] void raise(sqlite3* db) {
  std::string what = sqlite3_errmsg(db);
  const int why = sqlite3_system_errno(db);
  if (sqlite3_errcode(db) == SQLITE_IOERR && why != 0) what += std::string(": ") + std::strerror(why);
  throw DatabaseError(what);
}

void execute(sqlite3* db, const char* sql) {
  if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) raise(db);
}

class Statement {
 public:
  template <class... Values>
  Statement(sqlite3* db, const std::string& sql, const Values&... values) : db_(db) {
    if (sqlite3_prepare_v2(db, sql.c_str(), -1, &statement_, nullptr) != SQLITE_OK) raise(db);
    int index = 0;
    (bind(++index, values), ...);
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(statement_); }

  bool next() {
    const int result = sqlite3_step(statement_);
    if (result != SQLITE_ROW && result != SQLITE_DONE) raise(db_);
    return result == SQLITE_ROW;
  }
  std::string text(int column) const {
    const void* data = sqlite3_column_blob(statement_, column);
    const int size = sqlite3_column_bytes(statement_, column);
    return data ? std::string(static_cast<const char*>(data), static_cast<std::size_t>(size)) : std::string();
  }
  Seconds number(int column) const { return sqlite3_column_int64(statement_, column); }
  bool is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

 private:
  // The values outlive the statement: each is used within one expression.
  void bind(int index, std::string_view value) {
    sqlite3_bind_text(statement_, index, value.data(), static_cast<int>(value.size()), SQLITE_STATIC);
  }
  void bind(int index, Seconds value) { sqlite3_bind_int64(statement_, index, value); }

  sqlite3* db_;
  sqlite3_stmt* statement_ = nullptr;
};

template <class... Values>
bool run(sqlite3* db, const std::string& sql, const Values&... values) {
  Statement(db, sql, values...).next();
  return sqlite3_changes(db) > 0;
}

class Transaction {
 public:
  explicit Transaction(sqlite3* db) : db_(db) { execute(db, "BEGIN IMMEDIATE"); }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction() {
    if (!done_) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
  void commit() {
    execute(db_, "COMMIT");
    done_ = true;
  }

 private:
  sqlite3* db_;
  bool done_ = false;
};

Token token_from(const Statement& row) {
  return {row.text(0), row.text(1), row.text(2), row.number(3), row.number(4), !row.is_null(5)};
}
ServiceAccount account_from(const Statement& row) {
  return {row.text(0), row.text(1), row.text(2), row.number(3), !row.is_null(4)};
}
Agent agent_from(const Statement& row) {
  return {row.text(0), row.text(1), row.text(2), row.text(3),   row.text(4),   row.text(5),
          row.text(6), row.text(7), row.text(8), row.number(9), row.number(10)};
}

template <class T>
std::optional<T> first(Statement&& rows, T (*read)(const Statement&)) {
  if (!rows.next()) return std::nullopt;
  return read(rows);
}
template <class T>
std::vector<T> all(Statement&& rows, T (*read)(const Statement&)) {
  std::vector<T> result;
  while (rows.next()) result.push_back(read(rows));
  return result;
}

void insert(sqlite3* db, const Agent& a) {
  run(db, "INSERT INTO agents VALUES (?,?,?,?,?,?,?,?,?,?,?)", a.mrn, a.space, a.service_account, a.name,
      a.version, a.platform, a.hostname, a.ip, a.platform_id, a.created, a.seen);
}

void update(sqlite3* db, const Agent& a) {
  run(db,
      "UPDATE agents SET name = ?, version = ?, platform = ?, hostname = ?, ip = ?, platform_id = ?, seen = "
      "? "
      "WHERE mrn = ?",
      a.name, a.version, a.platform, a.hostname, a.ip, a.platform_id, a.seen, a.mrn);
}

void insert(sqlite3* db, const ServiceAccount& a) {
  run(db, "INSERT OR IGNORE INTO spaces VALUES (?, ?)", a.space, a.created);
  run(db, "INSERT INTO service_accounts VALUES (?, ?, CAST(? AS BLOB), ?, NULL)", a.mrn, a.space,
      a.public_key, a.created);
}

bool remove(sqlite3* db, std::string_view mrn, Seconds now) {
  const auto agent = first(Statement(db, std::string(kAgents) + "WHERE mrn = ?", mrn), agent_from);
  if (!agent) return false;
  run(db, "DELETE FROM agents WHERE mrn = ?", mrn);
  run(db,
      "UPDATE service_accounts SET revoked = ?1 WHERE mrn = ?2 AND revoked IS NULL "
      "AND length(public_key) > 0 AND NOT EXISTS (SELECT 1 FROM agents WHERE service_account = ?2)",
      now, agent->service_account);
  return true;
}

// What every connection needs; one that only reads says so.
void greet(sqlite3* db, bool reader) {
  sqlite3_busy_timeout(db, kBusyMilliseconds);
  execute(db, "PRAGMA trusted_schema = OFF");
  if (reader) execute(db, "PRAGMA query_only = ON");
}

std::int64_t number(sqlite3* db, const char* sql) {
  Statement row(db, sql);
  row.next();
  return row.number(0);
}

void set_up(sqlite3* db) {
  greet(db, false);
  execute(db, "PRAGMA journal_mode = WAL");
  execute(db, "PRAGMA synchronous = FULL");
  execute(db, "PRAGMA foreign_keys = ON");
  Transaction transaction(db);
  const std::int64_t version = number(db, "PRAGMA user_version");
  if (version > kSchemaVersion) throw DatabaseError("it was written by a newer version of this program");
  if (version < 0 || (version == 0 && number(db, "SELECT count(*) FROM sqlite_schema") != 0))
    throw DatabaseError("it was written by another program");
  for (auto next = static_cast<std::size_t>(version); next < kSchema.size(); ++next) {
    execute(db, kSchema[next]);
    execute(db, ("PRAGMA user_version = " + std::to_string(next + 1)).c_str());
  }
  transaction.commit();
}

struct Close {
  void operator()(sqlite3* db) const { sqlite3_close(db); }
};
using Connection = std::unique_ptr<sqlite3, Close>;

Connection connect(const std::string& file, int flags) {
  sqlite3* raw = nullptr;
  const int result = sqlite3_open_v2(file.c_str(), &raw, flags, nullptr);
  Connection db(raw);
  if (result != SQLITE_OK) {
    const int why = raw ? sqlite3_system_errno(raw) : ENOMEM;
    throw DatabaseError(why ? std::strerror(why) : sqlite3_errmsg(raw));
  }
  return db;
}

}  // namespace

// Changes go through one connection, and those that wait for it at the same time share a transaction: making
// it lasting takes the disk as long for all of them as for one. Who reads has a connection of its own for as
// long as it does, and sees what is lasting.
struct Store::State {
  State(std::string f, Connection db)
      : file(std::move(f)), in_memory(file == ":memory:"), writer(std::move(db)) {
    set_up(writer.get());
  }

  // `work` gets a connection, inside a transaction. Its result is returned once that is lasting.
  template <class Work>
  auto change(Work work) -> Result<decltype(work(nullptr))> {
    using Value = decltype(work(nullptr));
    Change mine;
    if constexpr (std::is_void_v<Value>) {
      mine.work = [&](sqlite3* db) { work(db); };
      share(mine);
      if (!mine.error.empty()) return failed(mine.error);
      return {};
    } else {
      std::optional<Value> value;
      mine.work = [&](sqlite3* db) { value.emplace(work(db)); };
      share(mine);
      if (!mine.error.empty()) return failed(mine.error);
      return std::move(*value);
    }
  }

  template <class Work>
  auto read(Work work) -> Result<decltype(work(nullptr))> {
    if (in_memory) return change(work);  // where no second connection sees what is there
    try {
      Connection db = take_reader();
      auto value = work(db.get());
      const std::lock_guard lock(mutex);
      readers.push_back(std::move(db));
      return value;
    } catch (const DatabaseError& error) {
      return failed(error.what());
    }
  }

  tl::unexpected<Error> failed(const std::string& why) const {
    return fail("the database " + file + " failed: " + why);
  }

 private:
  struct Change {
    std::function<void(sqlite3*)> work;
    std::string error;
    bool done = false;
  };

  // The first to come works for all who wait; meanwhile others gather for the next turn.
  void share(Change& mine) {
    std::unique_lock lock(mutex);
    waiting.push_back(&mine);
    while (!mine.done) {
      if (at_work) {
        turn_over.wait(lock);
        continue;
      }
      at_work = true;
      const std::vector<Change*> batch = std::exchange(waiting, {});
      lock.unlock();
      make_lasting(batch);
      lock.lock();
      for (Change* each : batch) each->done = true;
      at_work = false;
      turn_over.notify_all();
    }
  }

  void make_lasting(const std::vector<Change*>& batch) {
    try {
      Transaction transaction(writer.get());
      for (Change* each : batch) apply(*each);
      transaction.commit();
    } catch (const std::exception& error) {
      for (Change* each : batch) each->error = error.what();
    }
  }

  // One that fails leaves the others as they are.
  void apply(Change& change) {
    execute(writer.get(), "SAVEPOINT one");
    try {
      change.work(writer.get());
    } catch (const std::exception& error) {
      change.error = error.what();
      execute(writer.get(), "ROLLBACK TO one");
    }
    execute(writer.get(), "RELEASE one");
  }

  Connection take_reader() {
    {
      const std::lock_guard lock(mutex);
      if (!readers.empty()) {
        Connection db = std::move(readers.back());
        readers.pop_back();
        return db;
      }
    }
    Connection db = connect(file, SQLITE_OPEN_READWRITE);
    greet(db.get(), true);
    return db;
  }

  const std::string file;
  const bool in_memory;
  Connection writer;  // of whoever is at work
  std::mutex mutex;   // guards what follows
  std::condition_variable turn_over;
  bool at_work = false;
  std::vector<Change*> waiting;
  std::vector<Connection> readers;  // that nobody uses now
};

Store::Store(std::unique_ptr<State> state) : state_(std::move(state)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Result<Store> Store::open(const std::filesystem::path& file) {
  Connection db;
  try {
    db = connect(file.string(), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  } catch (const DatabaseError& error) {
    return fail("cannot open the database " + file.string() + ": " + error.what());
  }
  try {
    return Store(std::make_unique<State>(file.string(), std::move(db)));
  } catch (const DatabaseError& error) {
    return fail("the database " + file.string() + " failed: " + error.what());
  }
}

Result<std::string> Store::endpoint() {
  return state_->read([&](sqlite3* db) {
    Statement row(db, "SELECT value FROM settings WHERE name = 'endpoint'");
    return row.next() ? row.text(0) : std::string();
  });
}

Result<void> Store::set_endpoint(std::string_view url) {
  return state_->change(
      [&](sqlite3* db) { run(db, "INSERT OR REPLACE INTO settings VALUES ('endpoint', ?)", url); });
}

Result<void> Store::add_token(const Token& token) {
  return state_->change([&](sqlite3* db) {
    run(db, "INSERT OR IGNORE INTO spaces VALUES (?, ?)", token.space, token.created);
    run(db, "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, NULL)", token.mrn, token.space, token.description,
        token.created, token.expires);
  });
}

Result<std::optional<Token>> Store::token(std::string_view mrn) {
  return state_->read([&](sqlite3* db) {
    return first(Statement(db, std::string(kTokens) + "WHERE mrn = ?", mrn), token_from);
  });
}

Result<void> Store::add_registration(const ServiceAccount& account, const Agent& agent) {
  return state_->change([&](sqlite3* db) {
    insert(db, account);
    insert(db, agent);
  });
}

Result<std::optional<ServiceAccount>> Store::service_account(std::string_view mrn) {
  return state_->read([&](sqlite3* db) {
    return first(Statement(db, std::string(kAccounts) + "WHERE mrn = ?", mrn), account_from);
  });
}

Result<void> Store::add_ssh_account(const ServiceAccount& account, const std::vector<SshKey>& keys) {
  return state_->change([&](sqlite3* db) {
    insert(db, account);
    for (const SshKey& key : keys) {
      run(db, "INSERT OR IGNORE INTO ssh_keys VALUES (?, ?, CAST(? AS BLOB), ?)", account.mrn,
          key.fingerprint, key.blob, key.comment);
    }
  });
}

Result<void> Store::add_issuer_account(const ServiceAccount& account, const Issuer& issuer,
                                       const std::vector<IssuerKey>& keys) {
  return state_->change([&](sqlite3* db) {
    insert(db, account);
    run(db, "INSERT INTO issuers VALUES (?, ?, ?, ?)", account.mrn, issuer.uri, issuer.audience,
        issuer.subject);
    for (const IssuerKey& key : keys) {
      run(db, "INSERT INTO issuer_keys VALUES (?, ?, CAST(? AS BLOB))", account.mrn, key.kid, key.der);
    }
  });
}

Result<std::optional<std::string>> Store::ssh_key(std::string_view service_account,
                                                  std::string_view fingerprint) {
  return state_->read([&](sqlite3* db) {
    return first<std::string>(
        Statement(db, "SELECT blob FROM ssh_keys WHERE service_account = ? AND fingerprint = ?",
                  service_account, fingerprint),
        [](const Statement& row) { return row.text(0); });
  });
}

Result<std::vector<Issuer>> Store::issuers(std::string_view uri) {
  return state_->read([&](sqlite3* db) {
    return all<Issuer>(Statement(db,
                                 "SELECT service_account, uri, audience, subject FROM issuers WHERE uri = ? "
                                 "ORDER BY service_account",
                                 uri),
                       [](const Statement& row) {
                         return Issuer{row.text(0), row.text(1), row.text(2), row.text(3)};
                       });
  });
}

Result<std::vector<IssuerKey>> Store::issuer_keys(std::string_view service_account) {
  return state_->read([&](sqlite3* db) {
    return all<IssuerKey>(
        Statement(db, "SELECT kid, der FROM issuer_keys WHERE service_account = ?", service_account),
        [](const Statement& row) {
          return IssuerKey{row.text(0), row.text(1)};
        });
  });
}

Result<void> Store::lend_key(std::string_view service_account, std::string_view public_key, Seconds expires,
                             Seconds now) {
  return state_->change([&](sqlite3* db) {
    run(db, "DELETE FROM lent_keys WHERE expires <= ?", now);
    run(db, "INSERT INTO lent_keys VALUES (?, CAST(? AS BLOB), ?)", service_account, public_key, expires);
  });
}

Result<std::vector<std::string>> Store::lent_keys(std::string_view service_account, Seconds now) {
  return state_->read([&](sqlite3* db) {
    return all<std::string>(
        Statement(db, "SELECT public_key FROM lent_keys WHERE service_account = ? AND expires > ?",
                  service_account, now),
        [](const Statement& row) { return row.text(0); });
  });
}

Result<std::optional<Agent>> Store::agent(std::string_view mrn) {
  return state_->read([&](sqlite3* db) {
    return first(Statement(db, std::string(kAgents) + "WHERE mrn = ?", mrn), agent_from);
  });
}

Result<void> Store::update_agent(const Agent& agent) {
  return state_->change([&](sqlite3* db) { update(db, agent); });
}

Result<Agent> Store::put_agent(std::string_view service_account, std::string_view platform_id,
                               const std::function<Agent(std::optional<Agent>)>& make) {
  return state_->change([&](sqlite3* db) {
    std::optional<Agent> known;
    if (!platform_id.empty()) {
      known = first(Statement(db, std::string(kAgents) + "WHERE service_account = ? AND platform_id = ?",
                              service_account, platform_id),
                    agent_from);
    }
    const bool update_it = known.has_value();
    Agent agent = make(std::move(known));
    update_it ? update(db, agent) : insert(db, agent);
    return agent;
  });
}

Result<bool> Store::remove_agent(std::string_view mrn, Seconds now) {
  return state_->change([&](sqlite3* db) {
    const bool removed = remove(db, mrn, now);
    return removed;
  });
}

Result<bool> Store::revoke(std::string_view mrn, Seconds now) {
  return state_->change([&](sqlite3* db) {
    const bool revoked =
        run(db, "UPDATE tokens SET revoked = ? WHERE mrn = ? AND revoked IS NULL", now, mrn) ||
        run(db, "UPDATE service_accounts SET revoked = ? WHERE mrn = ? AND revoked IS NULL", now, mrn) ||
        remove(db, mrn, now);
    return revoked;
  });
}

Result<std::vector<Token>> Store::tokens(std::string_view space) {
  return state_->read(
      [&](sqlite3* db) { return all(Statement(db, std::string(kTokens) + kOfSpace, space), token_from); });
}

Result<std::vector<ServiceAccount>> Store::service_accounts(std::string_view space) {
  return state_->read([&](sqlite3* db) {
    return all(Statement(db, std::string(kAccounts) + kOfSpace, space), account_from);
  });
}

Result<std::vector<Agent>> Store::agents(std::string_view space) {
  return state_->read(
      [&](sqlite3* db) { return all(Statement(db, std::string(kAgents) + kOfSpace, space), agent_from); });
}

}  // namespace cnspec::platform
