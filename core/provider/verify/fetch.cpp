// Everything fetched from the system that the author named: whether the rows are what was promised.
#include <algorithm>
#include <map>
#include <set>

#include "base/text.hpp"
#include "provider/verify/check.hpp"

namespace cnspec::provider::checks {
namespace {

void judge_rows(Subject& subject, const manifest::Resource& resource, const std::vector<Row>& rows) {
  std::set<std::pair<std::string, std::string>> ids;
  bool twice = false;
  std::map<std::string, std::size_t> missing;
  std::map<std::string, std::pair<std::size_t, const Value*>> errors;  // how many, and the first
  for (const Row& row : rows) {
    if (!ids.emplace(row.type, row.id).second && !std::exchange(twice, true)) {
      subject.out.failed("fetch " + resource.name + ": sent two rows of the id \"" + printable(row.id) + "\"",
                         "Give each instance an id of its own, which stays the same between runs.");
    }
    for (const std::string& field : fields_of(subject.found.manifest, resource)) {
      const Value* value = row.find(field);
      if (!value) ++missing[field];
      if (value && value->is_error()) {
        auto& [times, first] = errors[field];
        if (times++ == 0) first = value;
      }
    }
  }
  for (const auto& [field, times] : missing) {
    subject.out.warning("fetch " + resource.name + ": did not send the field \"" + field + "\" of " +
                            count(times, "row") + ", though it was asked for",
                        "Send it, or null where there is none, or an error where it could not be had.");
  }
  for (const auto& [field, seen] : errors) {
    if (seen.first < rows.size()) continue;  // of some, it is the system's doing
    subject.out.warning("fetch " + resource.name + ": the field \"" + field + "\" is an error in " +
                            (rows.size() == 1 ? "" : "all ") + count(rows.size(), "row") + ": " +
                            printable(seen.second->text()),
                        "See that it can be had somewhere: verify with another system as well.");
  }
}

// One instance asked for by its id is the one that was in the list.
void judge_by_id(Subject& subject, Connection& connection, const manifest::Resource& resource,
                 const Row& row) {
  if (resource.name != row.type) return;
  subject.out.step("fetch " + resource.name + " by its id");
  const auto rows = connection.fetch({resource.name, row.id, {}, {}}, limits_from_now(kCall));
  if (!rows) {
    if (well_failed(subject, rows.error())) {
      subject.out.failed("fetch " + resource.name + " by the id \"" + printable(row.id) +
                             "\", which it sent: " + said(subject, rows.error()),
                         "Answer for every id that was sent.");
    }
    return;
  }
  const bool found = std::ranges::any_of(*rows, [&](const Row& r) { return r.id == row.id; });
  if (!found || rows->size() != 1) {
    subject.out.failed(
        "fetch " + resource.name + " by the id \"" + printable(row.id) + "\", which it sent: " +
            count(rows->size(), "row") + (found ? ", expected that one alone" : ", not that one"),
        "Send the instance that was asked for, and no other; it keeps its id from one call to the next.");
  }
}

// Of one instance: whoever follows a reference has to arrive somewhere.
void judge_references(Subject& subject, Connection& connection, const Row& row) {
  for (std::size_t i = 0; i < row.size(); ++i) {
    const Ref* ref = row.value(i).ref();
    const manifest::Resource* to = ref ? subject.found.manifest.resource(ref->type) : nullptr;
    if (!to || needs_arguments(*to)) continue;
    subject.out.step("fetch " + ref->type + " by the id that a reference has");
    const auto rows = connection.fetch({ref->type, ref->id, {}, {}}, limits_from_now(kCall));
    if (!rows && unsupported(rows.error())) continue;
    if (rows && !rows->empty()) continue;
    subject.out.warning("field \"" + row.name(i) + "\" of " + row.type + " \"" + printable(row.id) +
                            "\" refers to " + ref->type + " \"" + printable(ref->id) +
                            "\", which is not to be had: " + (rows ? "0 rows" : said(subject, rows.error())),
                        "Refer only to what fetch answers for by that id; send null where there is none.");
  }
}

}  // namespace

void check_fetch(Subject& subject) {
  const auto provider = open_quietly(subject, true);
  if (!provider) return;
  const auto connections = connect_all(subject, *provider);
  if (connections.empty())
    return subject.out.failed("nothing was fetched",
                              "Mend what \"behaviour\" says, or name other arguments.");
  Connection& connection = *connections.front();
  std::size_t answers = 0;
  std::size_t rows_seen = 0;
  std::vector<std::string> notes;
  std::vector<std::string> with_arguments;
  for (const auto& [name, rows] : fetch_all(subject, connection, "")) {
    const manifest::Resource& resource = *subject.found.manifest.resource(name);
    if (!rows) {
      if (!well_failed(subject, rows.error())) continue;
      // There is no "all" of everything, and not everything is there everywhere.
      if (rows.error().kind() == ErrorKind::kUsage || unsupported(rows.error()))
        notes.push_back(
            name + " not fetched: " + without_prefix(said(subject, rows.error()), "fetch " + name + ": "));
      else
        subject.out.warning(said(subject, rows.error()), hint_of(rows.error()));
      continue;
    }
    rows_seen += rows->size();
    judge_rows(subject, resource, *rows);
    ++answers;
    if (rows->empty()) continue;
    judge_by_id(subject, connection, resource, rows->front());
    judge_references(subject, connection, rows->front());
  }
  if (answers > 0 && rows_seen == 0) {
    subject.out.warning(
        "sent no row at all, of any resource",
        "Call row_end for each row, without which it does not count; or name a system that has some.");
  }
  for (const auto& resource : subject.found.manifest.resources) {
    if (needs_arguments(resource)) with_arguments.push_back(resource.name);
  }
  if (!with_arguments.empty())
    notes.push_back("not fetched, since they need arguments: " + join(with_arguments, ", "));
  subject.out.note(count(rows_seen, "row") + " fetched");
  for (const std::string& note : notes) subject.out.note(note);
  subject.out.step("close");
}

}  // namespace cnspec::provider::checks
