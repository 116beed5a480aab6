// A provider in a process of its own: cnspec-provider-host loads it, and frames go over a socket between the
// two (see frame.hpp). Whatever comes from there is doubted: rows go through the same RowSink as in-process.
//
// The process is a pair: a keeper, which is our code alone, and below it the one that runs the provider. The
// keeper ends everything below itself, whatever group or session it moved to, when the provider's process
// ends, when it is told to, or when this process is gone. What it cannot end: what a set-uid program became,
// and what a service manager was asked to run.
#pragma once

#include <filesystem>
#include <vector>

#include "base/error.hpp"
#include "provider/provider.hpp"

namespace cnspec::provider {

struct IsolateOptions {
  std::filesystem::path host_program;          // cnspec-provider-host
  std::vector<std::filesystem::path> secrets;  // files that no manifest makes readable
};

// Starts the process, and in it what load_in_process does here. A call in which the process dies, closes the
// channel, breaks the protocol or stays deaf for longer than its deadline fails with one error that says so,
// with the last lines that it logged, and nothing of the process is left. The next call starts it anew and
// connects as before, three times in all; each time it waits longer first.
//
// Calls of one provider wait for each other, whatever its manifest says of threads.
Result<std::unique_ptr<Provider>> start_isolated(const Found& found, IsolateOptions options,
                                                 Services services, const Limits& limits);

}  // namespace cnspec::provider
